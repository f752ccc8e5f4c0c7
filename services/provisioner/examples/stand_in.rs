//! An instance for the backends' tests: started as `candor-workspace` is, it listens
//! at `CANDOR_LISTEN`, says on standard output that it is ready, and tells whoever asks
//! what it sees. What else it does is in its environment (`tests/conformance`):
//! `STAND_IN_ENDS`, `STAND_IN_WORDS`, `STAND_IN_DEAF`; `STAND_IN_MUTE` (is never
//! ready), `STAND_IN_CHILD` (starts a program in a session of its own),
//! `STAND_IN_WORKSPACE` and `STAND_IN_SESSION` (where those folders are, if not here
//! and at home).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::env::{var, var_os};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Deserialize)]
struct File {
    place: String,
    path: String,
    #[serde(default)]
    content: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let deaf = var_os("STAND_IN_DEAF").is_some();
    let mut asked = signal(SignalKind::terminate()).unwrap();
    note_the_start();
    if let Ok(status) = var("STAND_IN_ENDS") {
        eprintln!("{}", var("STAND_IN_WORDS").unwrap_or_default());
        exit(status.parse().unwrap());
    }
    if var_os("STAND_IN_CHILD").is_some() {
        let child = Command::new("setsid").args(["sleep", "600"]).spawn();
        println!("started {}", child.unwrap().id());
    }
    let listen = var("CANDOR_LISTEN").unwrap_or_else(|_| "0.0.0.0:8000".into());
    let listener = TcpListener::bind(listen).await.unwrap();
    let address = listener.local_addr().unwrap();
    if var_os("STAND_IN_MUTE").is_none() {
        println!("{{\"ready\":true,\"listen\":\"{address}\"}}");
    }
    let router = Router::new()
        .route("/", get(|| async { "here" }))
        .route("/env", get(environment))
        .route("/read", post(read))
        .route("/leave", post(leave));
    let served = axum::serve(listener, router).into_future();
    let ends = async {
        while asked.recv().await.is_some() {
            if !deaf {
                return;
            }
        }
    };
    tokio::select! {
        ended = served => ended.unwrap(),
        () = ends => println!("asked to end"),
    }
}

/// Adds a line, where there is a workspace that can be written.
fn note_the_start() {
    let opened = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder("workspace").join("starts"));
    if let Ok(mut starts) = opened {
        writeln!(starts, "started").unwrap();
    }
}

fn folder(place: &str) -> PathBuf {
    let (name, default) = match place {
        "configs" => ("CONFIGS_DIR", Ok("/configs".to_owned())),
        "session" => ("STAND_IN_SESSION", var("HOME")),
        _ => ("STAND_IN_WORKSPACE", Ok(".".to_owned())),
    };
    var(name).or(default).expect("a folder").into()
}

async fn environment() -> Json<BTreeMap<String, String>> {
    let all = std::env::vars_os().map(|(name, value)| {
        let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
        (text(name), text(value))
    });
    Json(all.collect())
}

async fn read(Json(file): Json<File>) -> (StatusCode, [(&'static str, String); 1], Vec<u8>) {
    let path = folder(&file.place).join(file.path);
    match fs::read(&path) {
        Ok(content) => {
            let mode = fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o7777;
            (StatusCode::OK, [("x-mode", mode.to_string())], content)
        }
        Err(error) => {
            let said = error.to_string().into_bytes();
            (StatusCode::NOT_FOUND, [("x-mode", String::new())], said)
        }
    }
}

async fn leave(Json(file): Json<File>) -> Result<(), (StatusCode, String)> {
    let told = || -> std::io::Result<()> {
        let mut path = folder(&file.place);
        let parts: Vec<&str> = file.path.split('/').collect();
        let (name, above) = parts.split_last().expect("a name");
        for part in above {
            path.push(part);
            if !path.is_dir() {
                take_away(&path)?;
                fs::create_dir(&path)?;
            }
        }
        path.push(name);
        if path.is_dir() {
            take_away(&path)?;
        }
        fs::write(path, &file.content)
    };
    told().map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

fn take_away(path: &Path) -> std::io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(what) if what.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}
