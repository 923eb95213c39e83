//! The report: the table of budgets on the terminal, and with all figures and plots as one HTML file and as Markdown.
//!
//! Reads what the benches have written into `target/bench/*.jsonl`, and measures nothing.
//!
//! `cargo run --release -p laminar-benches --bin report -- [--publish ROOT]`; with `--publish`, `benches/REPORT.md` and
//! `benches/report.html` below the root of the repository are written as well, and the README says where they are from.

#![expect(clippy::print_stdout, reason = "prints the table of budgets")]
#![expect(clippy::disallowed_methods, reason = "reports are plain files, outside of the seam that stores go through")]

mod document;
mod grid;
mod html;
mod machine;
mod markdown;
mod plots;
mod svg;

use std::path::{Path, PathBuf};

use comfy_table::{CellAlignment, Table, presets};
use document::Document;
use laminar_benches::{Figures, directory};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let publish: Option<PathBuf> = match (arguments.next().as_deref(), arguments.next()) {
        (Some("--publish"), Some(root)) => Some(root.into()),
        (None, None) => None,
        _ => panic!("report [--publish ROOT]"),
    };
    let document = Document::new(Figures::read());
    println!("{}", budgets(&document));
    println!("{}", document.summary());
    write(&document, &directory::figures(), "report.md");
    if let Some(root) = publish {
        write(&document, &root.join("benches"), "REPORT.md");
        let readme = root.join("README.md");
        let text = std::fs::read(&readme).unwrap_or_else(|error| panic!("{}: {error}", readme.display()));
        let text =
            markdown::with_summary(&String::from_utf8_lossy(&text), &document).expect("the README has its marks");
        std::fs::write(&readme, text).unwrap_or_else(|error| panic!("{}: {error}", readme.display()));
    }
}

/// Writes both forms of the report into `dir`.
fn write(document: &Document, dir: &Path, name: &str) {
    for (path, text) in
        [(dir.join("report.html"), html::render(document)), (dir.join(name), markdown::render(document))]
    {
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        println!("{}", path.display());
    }
}

/// The table of budgets for the terminal.
fn budgets(document: &Document) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(document::BUDGET_COLUMNS);
    for line in &document.lines {
        table.add_row(line.cells());
    }
    for column in 3..6 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
