//! A platform whose instances are processes, and how to look past it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use candor_testkit::chat::chat;
use candor_testkit::http::{Answer, Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use candor_testkit::postgres;
use candor_testkit::process::is_alive;
use candor_testkit::wait::wait_for;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// Longest wait for anything.
pub const SOON: Duration = Duration::from_secs(60);

/// A data directory with a platform on it, at times.
pub struct World {
    binaries: Binaries,
    data: DataDir,
    program: &'static str,
    platform: Option<Platform>,
}

impl World {
    /// With `candor-workspace`, or with the program of this name as it.
    pub async fn new(program: &'static str) -> Self {
        let mut world = Self {
            binaries: Binaries::beside(env!("CARGO_BIN_EXE_candor")),
            data: DataDir::new().unwrap(),
            program,
            platform: None,
        };
        world.up("127.0.0.1:0", "").await;
        world
    }

    /// Starts a platform, which ends itself where `crash_at` says.
    pub async fn up(&mut self, http: &str, crash_at: &str) {
        let program = self.binaries.path(self.program);
        let program = program.to_string_lossy().into_owned();
        let templates = self.templates();
        fs::create_dir_all(&templates).unwrap();
        let templates = templates.to_string_lossy().into_owned();
        let mut env = vec![
            ("CANDOR_PROCESS_PROGRAM", program.as_str()),
            ("CANDOR_TEMPLATES", templates.as_str()),
            ("CANDOR_BACKENDS", "process"),
            ("CANDOR_INSTANCE_SWEEP", "300ms"),
            ("CANDOR_INSTANCE_LEASE", "1s"),
        ];
        if !crash_at.is_empty() {
            env.push(("CANDOR_CRASH_AT", crash_at));
        }
        let platform = self.binaries.up_at(http, &self.data, &env).await;
        self.platform = Some(platform.unwrap());
    }

    pub fn platform(&self) -> &Platform {
        self.platform.as_ref().unwrap()
    }

    pub fn address(&self) -> String {
        self.platform().http().to_string()
    }

    /// Ends the platform as operators do.
    pub fn stop(&mut self) {
        let mut platform = self.platform.take().unwrap();
        let ended = platform.process().stop(SOON);
        assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
    }

    pub fn kill9(&mut self) {
        self.platform.take().unwrap().process().kill9();
    }

    /// Waits for the platform's own end.
    pub async fn ended(&mut self, place: &str) {
        let mut platform = self.platform.take().unwrap();
        wait_for(&format!("the end at {place}"), SOON, || {
            let runs = platform.process().is_running();
            async move { (!runs).then_some(()) }
        })
        .await
        .unwrap();
    }

    pub async fn send(&self, call: Call) -> Answer {
        let mut client = Client::new(self.platform().http());
        client.send(call).await.unwrap()
    }

    pub async fn post(&self, path: &str) -> Answer {
        self.send(Call::post(path, &json!({}))).await
    }

    pub async fn chat(&self, id: &str, text: &str) -> Answer {
        let mut client = Client::new(self.platform().http());
        chat(&mut client, id, text).await.unwrap()
    }

    pub async fn create(&self, name: &str) -> String {
        let body = json!({"name": name, "tier": 2, "runtime": "candor-echo"});
        let made = self.send(Call::post("/workspaces", &body)).await;
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()["id"].as_str().unwrap().to_owned()
    }

    pub async fn restart(&self, id: &str) {
        let done = self.post(&format!("/workspaces/{id}/restart")).await;
        assert_eq!(done.status, 200, "{}", done.text());
    }

    pub async fn becomes(&self, id: &str, status: &str) -> Value {
        wait_for(&format!("{id} to be {status}"), SOON, || async {
            let call = Call::get(format!("/workspaces/{id}"));
            let shown = self.send(call).await.json();
            (shown["status"] == status).then_some(shown)
        })
        .await
        .unwrap()
    }

    /// The instance that is wanted, of at least this epoch, and no other; its epoch.
    pub async fn runs(&self, id: &str, at_least: i64) -> i64 {
        let query = format!(
            "SELECT CASE WHEN v.epoch = v.fence_epoch AND w.status = 'online'
                          AND v.epoch >= {at_least} AND i.settled AND i.called
                          AND i.epoch = v.epoch THEN v.epoch ELSE 0 END::text
             FROM registry.workspace_vitals v JOIN workspaces w ON w.id = v.id
             JOIN provisioner.instances i ON i.workspace_id = v.id WHERE v.id = '{id}'"
        );
        let database = self.platform().database_url();
        let what = format!("{id} to run with epoch {at_least}");
        let ran = wait_for(&what, SOON, || async {
            let epoch = postgres::text(&database, &query).await.ok()?;
            let epoch: i64 = epoch.parse().ok()?;
            (epoch > 0 && self.processes(id).len() == 1).then_some(epoch)
        });
        match ran.await {
            Ok(epoch) => epoch,
            Err(late) => panic!("{late}: {}", self.told(id).await),
        }
    }

    /// How far the instance is, for whoever waits for it in vain.
    async fn told(&self, id: &str) -> String {
        let query = format!(
            "SELECT w.status || ' ' || v.epoch || '/' || v.fence_epoch || ' ' || row_to_json(i)::text
             FROM registry.workspace_vitals v JOIN workspaces w ON w.id = v.id
             JOIN provisioner.instances i ON i.workspace_id = v.id WHERE v.id = '{id}'"
        );
        let row = postgres::text(&self.platform().database_url(), &query).await;
        format!("{row:?} {:?} {}", self.processes(id), self.log(id))
    }

    /// Where templates are.
    pub fn templates(&self) -> PathBuf {
        self.data.path().join("templates")
    }

    /// The workspace's folder.
    pub fn place(&self, id: &str) -> PathBuf {
        self.data.path().join("instances").join(id)
    }

    /// Everything that its instances ever said.
    pub fn log(&self, id: &str) -> String {
        let read = |name| fs::read_to_string(self.place(id).join(name)).unwrap_or_default();
        format!("{}{}", read("log.earlier"), read("log"))
    }

    /// Answers to beats and registers in the log: those with 200, and all others.
    pub fn answers(&self, id: &str) -> (usize, Vec<String>) {
        let log = self.log(id);
        let told = log
            .lines()
            .filter(|line| line.starts_with("register ") || line.starts_with("beat "));
        let (well, ill): (Vec<&str>, Vec<&str>) = told.partition(|line| line.ends_with(" 200"));
        (well.len(), ill.into_iter().map(str::to_owned).collect())
    }

    /// How many instances began, by the file that each adds a line to.
    pub fn starts(&self, id: &str) -> usize {
        let starts = fs::read_to_string(self.place(id).join("workspace/starts"));
        starts.map_or(0, |starts| starts.lines().count())
    }

    /// Processes that carry the workspace's mark.
    pub fn processes(&self, id: &str) -> Vec<i32> {
        let all = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
            let text = String::from_utf8_lossy(&environ).into_owned();
            let mut variables = text.split('\0');
            variables
                .any(|one| one.starts_with("CANDOR_INSTANCE=") && one.contains(id))
                .then_some(pid)
        });
        all.filter(|pid| is_alive(*pid)).collect()
    }

    pub fn kill_instances(&self, id: &str) {
        for pid in self.processes(id) {
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Nobody starts them again.
        if let Some(mut platform) = self.platform.take() {
            platform.process().kill9();
        }
        let places = fs::read_dir(self.data.path().join("instances"));
        for place in places.into_iter().flatten().flatten() {
            self.kill_instances(&place.file_name().to_string_lossy());
        }
    }
}
