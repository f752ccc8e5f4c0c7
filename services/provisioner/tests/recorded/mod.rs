//! The recording, read; the engine, asked in the same words; and what is better than the
//! original, each with its reason.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{DownloadFromContainerOptionsBuilder, ListVolumesOptions};
use candor_kernel::{Epoch, WorkspaceId};
use candor_process::config::Secret;
use candor_provisioner::backend::docker::DockerSettings;
use candor_provisioner::backend::{ConfigFile, Mount, Plan, Tier};
use futures::TryStreamExt as _;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::engine::{self, Engine};

const RECORDING: &str = include_str!("../../../../crates/testkit/data/original-docker.jsonl");
/// Where the original's platform was, as instances of its engine saw it.
const BRIDGE: &str = "172.17.0.1";

/// A line of the recording that concerns an engine.
pub enum Line {
    /// A workspace was made by this request, and is called so from then on.
    Created { variable: String, request: Value },
    /// What was found of it.
    Found {
        variable: String,
        note: String,
        found: Value,
    },
}

pub fn lines() -> Vec<Line> {
    let lines = RECORDING.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let note = line["note"].as_str().unwrap_or_default().to_owned();
        if let Some(variable) = line["docker"].as_str() {
            return Some(Line::Found {
                variable: variable.to_owned(),
                note,
                found: line["found"].clone(),
            });
        }
        let saved = line["save"]
            .as_object()?
            .iter()
            .find(|(_, of)| *of == "id")?;
        let request = serde_json::from_str(line["body"].as_str()?).unwrap();
        let variable = saved.0.clone();
        Some(Line::Created { variable, request })
    });
    lines.collect()
}

/// A workspace of a story.
#[derive(Clone)]
pub struct Known {
    pub workspace: WorkspaceId,
    request: Value,
    project: PathBuf,
}

impl Known {
    pub fn new(workspace: WorkspaceId, request: Value, project: &Path) -> Self {
        let project = std::fs::canonicalize(project).unwrap();
        Self {
            workspace,
            request,
            project,
        }
    }

    pub fn of(plan: &Plan) -> Self {
        Self {
            workspace: plan.workspace,
            request: Value::Null,
            project: PathBuf::new(),
        }
    }

    fn name(&self) -> String {
        engine::container(self.workspace)
    }

    /// The recording's words as they are here.
    fn here(&self, recorded: &Value, variable: &str) -> Value {
        let id = self.workspace.to_string();
        let text = recorded
            .to_string()
            .replace(&format!("{{{{{variable}:12}}}}"), &id[..12])
            .replace(&format!("{{{{{variable}}}}}"), &id)
            .replace("<bridge address>", BRIDGE)
            .replace("/home/proj", self.project.to_str().unwrap());
        serde_json::from_str(&text).unwrap()
    }
}

/// The variable that a recorded object speaks of.
fn variable(recorded: &Value) -> String {
    let text = recorded.to_string();
    let from = text.find("{{").map_or(0, |at| at + 2);
    let end = text[from..].find([':', '}']).unwrap_or_default();
    text[from..from + end].to_owned()
}

/// The plan that leaves this behind.
pub fn plan(known: &Known, found: &Value, epoch: i64) -> Plan {
    let here = known.here(found, &variable(found));
    let text = |name: &str| known.request[name].as_str().map(str::to_owned);
    let path = text("workspace_dir").map(|_| known.project.clone());
    let mut env = BTreeMap::new();
    for variable in here["container"]["env"].as_array().into_iter().flatten() {
        let (name, value) = variable.as_str().unwrap().split_once('=').unwrap();
        // The first of two: the platform's own (D64).
        env.entry(name.to_owned())
            .or_insert_with(|| Secret::new(value));
    }
    let files = here["files"].as_object().cloned().unwrap_or_default();
    Plan {
        workspace: known.workspace,
        epoch: Epoch(epoch),
        name: text("name").unwrap(),
        runtime: text("runtime").unwrap_or_else(|| "langgraph".to_owned()),
        tier: match known.request["tier"].as_u64().unwrap() {
            1 => Tier::T1,
            2 => Tier::T2,
            3 => Tier::T3,
            4 => Tier::T4,
            other => panic!("tier {other}"),
        },
        image: None,
        platform_url: format!("http://{BRIDGE}:8080"),
        env,
        files: files
            .iter()
            .filter_map(|(path, file)| {
                let path = path.strip_prefix("configs/").unwrap();
                let content = file["text"].as_str()?.to_owned();
                Some(ConfigFile::new(path, content).unwrap())
            })
            .collect(),
        // As long as the original's.
        token: Secret::new(format!("{:043}", Uuid::new_v4().as_u128())),
        mount: path.map_or(Mount::Volume, |path| Mount::Host {
            path,
            read_only: known.request["workspace_access"] == "read_only",
        }),
        reset_session: false,
    }
}

/// What is found here instead of what was found there, with the reason of each
/// difference.
pub fn better(found: &Value, known: &Known, settings: &DockerSettings, epoch: i64) -> Value {
    let mut found = known.here(found, &variable(found));
    let id = known.workspace.to_string();
    let marks = json!({
        "molecule.platform.managed": "true",
        "candor.installation": settings.installation,
        "candor.workspace": id,
    });
    // Flaw 50: there, every installation's things look alike, and half of them like
    // nobody's.
    for volume in found["volumes"].as_array_mut().unwrap() {
        volume["labels"] = marks.clone();
    }
    if found["container"].is_null() {
        return found;
    }
    let container = &mut found["container"];
    container["labels"] = marks;
    container["labels"]["candor.epoch"] = json!(epoch.to_string());
    // D64: a secret does not say who an instance is.
    let env = container["env"].as_array_mut().unwrap();
    env.retain(|variable| variable != "WORKSPACE_ID=evil");
    let host = &mut container["host"];
    // The network that it is in, by name: newer engines would join a second one.
    host["NetworkMode"] = json!(settings.network);
    // Restarts are the reconciler's: numbered, with a token, within a budget.
    host["RestartPolicy"]["Name"] = json!("no");
    // An agent's output does not fill the disk.
    host["LogConfig"]["Config"] = json!({"max-file": "3", "max-size": "10m"});
    // Flaw 100: limits that are some, in every tier.
    host["PidsLimit"] = json!(1024);
    if known.request["tier"] == 1 {
        host["PidsLimit"] = json!(256);
        host["Memory"] = json!(512 * 1024 * 1024);
        host["NanoCpus"] = json!(1_000_000_000);
        host["CapDrop"] = json!(["ALL"]);
        host["CapAdd"] = json!([
            "CHOWN",
            "DAC_OVERRIDE",
            "FOWNER",
            "KILL",
            "SETGID",
            "SETUID"
        ]);
        host["SecurityOpt"] = json!(["no-new-privileges"]);
        // Also for an agent that is not root.
        host["Tmpfs"]["/tmp"] = json!("rw,noexec,nosuid,size=64m,mode=1777");
    }
    // Flaw 49: the token is its reader's alone.
    found["files"]["configs/.auth_token"]["mode"] = json!("0o100600");
    found
}

/// The container, in the recording's words.
pub async fn container(engine: &Engine, known: &Known) -> Value {
    let Some(about) = engine.inspect(&known.name()).await else {
        return Value::Null;
    };
    let id = about.id.clone().unwrap();
    let whole = serde_json::to_value(&about).unwrap();
    let host = &whole["HostConfig"];
    let fields = [
        "AutoRemove",
        "Binds",
        "CapAdd",
        "CapDrop",
        "CpuQuota",
        "CpuShares",
        "ExtraHosts",
        "LogConfig",
        "Memory",
        "NanoCpus",
        "NetworkMode",
        "PidMode",
        "PidsLimit",
        "Privileged",
        "ReadonlyRootfs",
        "RestartPolicy",
        "SecurityOpt",
        "Tmpfs",
    ];
    let mut shown = Map::new();
    for field in fields {
        // The recording has no word for a container without a tmpfs.
        if field != "Tmpfs" || !host[field].is_null() {
            shown.insert(field.to_owned(), host[field].clone());
        }
    }
    let mut env = whole["Config"]["Env"].as_array().unwrap().clone();
    env.retain(|variable| !variable.as_str().unwrap().starts_with("PATH="));
    env.sort_by_key(ToString::to_string);
    let exposed = &whole["Config"]["ExposedPorts"];
    json!({
        "env": env,
        "exposed": exposed.as_array().cloned().unwrap_or_else(|| {
            exposed.as_object().unwrap().keys().map(|port| json!(port)).collect()
        }),
        "host": shown,
        "image": whole["Config"]["Image"],
        "labels": whole["Config"]["Labels"],
        "name": whole["Name"],
        "networks": networks(&about, &id),
        "ports": ports(&whole["NetworkSettings"]["Ports"]),
        "state": whole["State"]["Status"],
        "user": whole["Config"]["User"].as_str().unwrap_or_default(),
    })
}

/// Without the alias that an engine adds by itself.
fn networks(about: &ContainerInspectResponse, id: &str) -> Value {
    let all = about.network_settings.as_ref().unwrap().networks.as_ref();
    let all = all.unwrap().iter().map(|(name, endpoint)| {
        let mut aliases = endpoint.aliases.clone().unwrap_or_default();
        aliases.retain(|alias| !id.starts_with(alias.as_str()));
        (name.clone(), json!({"aliases": aliases}))
    });
    Value::Object(all.collect())
}

fn ports(ports: &Value) -> Value {
    let mut ports = ports.clone();
    for bindings in ports.as_object_mut().unwrap().values_mut() {
        for binding in bindings.as_array_mut().unwrap() {
            let port: u16 = binding["HostPort"].as_str().unwrap().parse().unwrap();
            assert_ne!(port, 0);
            binding["HostPort"] = json!("<port>");
        }
    }
    ports
}

/// The volumes, in the recording's words.
pub async fn volumes(engine: &Engine, known: &Known) -> Value {
    let all = engine.docker.list_volumes(None::<ListVolumesOptions>);
    let volumes = all.await.unwrap().volumes.unwrap_or_default();
    let short = known.name();
    let mut ours: Vec<_> = volumes
        .into_iter()
        .filter(|volume| volume.name.starts_with(&short))
        .map(|volume| (volume.name.clone(), volume.labels))
        .collect();
    ours.sort_by(|one, other| one.0.cmp(&other.0));
    ours.into_iter()
        .map(|(name, labels)| json!({"labels": labels, "name": name}))
        .collect()
}

/// The files in `/configs`, in the recording's words.
pub async fn files(engine: &Engine, known: &Known) -> Value {
    let options = DownloadFromContainerOptionsBuilder::new()
        .path("/configs")
        .build();
    let pieces = engine
        .docker
        .download_from_container(&known.name(), Some(options));
    let pieces: Vec<_> = pieces.try_collect().await.unwrap();
    let bytes = pieces.concat();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let mut files = Map::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        let header = entry.header();
        let about = json!({
            "mode": format!("0o100{:o}", header.mode().unwrap() & 0o7777),
            "size": header.size().unwrap(),
            "text": (!path.ends_with(".auth_token")).then_some(content),
            "uid": header.uid().unwrap(),
        });
        files.insert(path, about);
    }
    Value::Object(files)
}
