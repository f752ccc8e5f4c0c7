//! A platform for the tests of `process`, to be killed: starts one instance, says so,
//! and stays. Arguments: the settings' root, program and installation, a workspace.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fmt;

use candor_kernel::Epoch;
use candor_process::config::Secret;
use candor_provisioner::backend::process::{ProcessBackend, ProcessSettings};
use candor_provisioner::backend::{Backend as _, Mount, Plan, Progress, Tier};

struct Unheard;

impl Progress for Unheard {
    fn told(&self, _: fmt::Arguments<'_>) {}
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("an argument");
    let settings = ProcessSettings::new(next().into(), next().into(), next());
    let plan = Plan {
        workspace: next().parse().unwrap(),
        epoch: Epoch(1),
        name: "Ada".to_owned(),
        runtime: "candor-echo".to_owned(),
        tier: Tier::T2,
        image: None,
        platform_url: "http://127.0.0.1:9".to_owned(),
        env: BTreeMap::new(),
        files: Vec::new(),
        token: Secret::new("the-token-of-the-first-instance"),
        mount: Mount::Volume,
        reset_session: false,
    };
    let backend = ProcessBackend::new(settings);
    backend.write(&plan).await.unwrap();
    backend.start(&plan, &Unheard).await.unwrap();
    println!("{{\"ready\":true}}");
    std::future::pending().await
}
