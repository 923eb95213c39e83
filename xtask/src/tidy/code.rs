//! Rust text without what is not code, and the part of a file that is not its tests.

/// The text with comments and the insides of string and character literals turned into spaces. Lines stay lines.
pub(super) fn code_only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => quoted(rest),
            'r' if !ends_in_word(&out) => raw_string(rest),
            '\'' => character(rest),
            _ => 0,
        };
        let len = if skipped == 0 { first.len_utf8() } else { skipped };
        let (taken, next) = rest.split_at(len);
        if skipped == 0 {
            out.push_str(taken);
        } else {
            out.extend(taken.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = next;
    }
    out
}

fn ends_in_word(text: &str) -> bool {
    text.ends_with(is_word)
}

/// Whether a character can stand in an identifier.
pub(super) fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a raw string at the start of the text, 0 where none is.
fn raw_string(text: &str) -> usize {
    let hashes = text.chars().skip(1).take_while(|c| *c == '#').count();
    let Some(body) = text.get(1 + hashes..).filter(|body| body.starts_with('"')) else { return 0 };
    let end = format!("\"{}", "#".repeat(hashes));
    let inside = body.get(1..).unwrap_or_default();
    inside.find(&end).map_or(text.len(), |at| 1 + hashes + 1 + at + end.len())
}

/// The length of a character literal at the start of the text, 0 where the quote begins a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some(_)) => chars.find(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

/// The lines of code in which a whole word stands, from 1.
pub(super) fn lines_with_word(code: &str, word: &str) -> Vec<usize> {
    let found = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            let (before, after) = (line.get(..at), line.get(at + word.len()..));
            !before.is_some_and(|text| text.ends_with(is_word)) && !after.is_some_and(|text| text.starts_with(is_word))
        })
    };
    code.lines().enumerate().filter(|(_, line)| found(line)).map(|(index, _)| index + 1).collect()
}

/// Whether a file holds nothing but tests.
pub(super) fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// The lines before the unit tests at the end of a file.
pub(super) fn without_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.windows(2).position(|pair| {
        matches!(pair, [attribute, module] if attribute.starts_with("#[cfg(test)]") && module.starts_with("mod ") && module.ends_with('{'))
    });
    start.unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_strings_and_characters_are_no_code() {
        let text = "a(\"x \\\" y\"); // b\nlet c = 'd'; /* e /* f */ g */ h::<'i>(r#\"j\"k\"#, '\\'', b'\"', l)";
        let code = code_only(text);
        assert_eq!(code.lines().count(), text.lines().count());
        let words: Vec<&str> = code.split(|c| !is_word(c)).filter(|word| !word.is_empty()).collect();
        assert_eq!(words, ["a", "let", "c", "h", "i", "b", "l"]);
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(lines_with_word("unsafe_code\nnot_unsafe\nunsafe {\n(unsafe)", "unsafe"), [3, 4]);
    }

    #[test]
    fn tests_at_the_end_do_not_count() {
        assert_eq!(without_tests("a\nb\n#[cfg(test)]\nmod tests {\n}\n"), 2);
        assert_eq!(without_tests("a\n#[cfg(test)]\nmod tests;\nb\n"), 4);
    }
}
