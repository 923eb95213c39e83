//! Under construction in the commits that follow.
