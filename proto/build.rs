//! Compiles the protobuf files without an installed `protoc`.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=candor");
    println!("cargo:rerun-if-changed=a2a");
    let files = [
        "candor/activity/v1/activity.proto",
        "candor/provisioner/v1/provisioner.proto",
        "candor/registry/v1/registry.proto",
        "candor/relay/v1/relay.proto",
    ];
    let descriptors = protox::compile(files, ["."])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    fs::write(out.join("candor.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(descriptors)?;
    a2a(&out)
}

/// The wire of another project. It has a descriptor set of its own, since who
/// serves Candor's services need not serve these.
fn a2a(out: &Path) -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile(["a2a.proto"], ["a2a"])?;
    fs::write(out.join("a2a.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
