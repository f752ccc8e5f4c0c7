//! Rebuilds the crate when a migration is added: the macro that embeds them
//! notices changed files by itself, new ones not.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
