//! The engine of the tests, an image that needs no registry, and a platform on both.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use candor_testkit::http::{Answer, Call, Client};
use candor_testkit::platform::{Binaries, DataDir, Platform};
use candor_testkit::postgres;
use candor_testkit::wait::wait_for;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Longest wait for anything.
pub const SOON: Duration = Duration::from_secs(90);
/// Where no registry is, so that nothing but what the tests bring is ever found there.
const NOWHERE: &str = "127.0.0.1:9";
/// Images carry their name in it.
const IMAGE_LABEL: &str = "candor.test.image";
/// Tests share the engine; who takes it away has it alone.
static ENGINE: RwLock<()> = RwLock::const_new(());
/// Numbers the worlds of this process.
static WORLDS: AtomicU32 = AtomicU32::new(0);

/// A test's part in the engine.
enum Part {
    Shared(#[allow(dead_code)] RwLockReadGuard<'static, ()>),
    Whole(#[allow(dead_code)] RwLockWriteGuard<'static, ()>),
}

/// A platform whose instances are containers. Dropped, it leaves nothing on the engine.
pub struct World {
    pub platform: Platform,
    pub image: String,
    binaries: Binaries,
    network: String,
    installation: String,
    _data: DataDir,
    _part: Part,
}

/// Whether there is an engine: `scripts/with-docker` says so.
pub fn engine() -> bool {
    let socket = std::env::var("CANDOR_TEST_DOCKER").unwrap_or_else(|_| {
        panic!("run these by scripts/with-docker, or say CANDOR_TEST_DOCKER=none")
    });
    if socket == "none" {
        not_run("CANDOR_TEST_DOCKER=none");
    }
    socket != "none"
}

/// Says so even where the test's own output is kept from people.
pub fn not_run(why: &str) {
    writeln!(std::io::stderr(), "NOT RUN on a Docker engine: {why}").ok();
}

/// What the engine answers.
pub fn docker(arguments: &[&str]) -> String {
    let told = Command::new("docker").args(arguments).output().unwrap();
    assert!(
        told.status.success(),
        "docker {arguments:?}: {}",
        String::from_utf8_lossy(&told.stderr)
    );
    String::from_utf8(told.stdout).unwrap()
}

/// The same where it may fail.
pub fn try_docker(arguments: &[&str]) -> Option<String> {
    let told = Command::new("docker").args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    told.status.success().then_some(text)
}

/// From scratch: the program, and what it is linked with.
fn import(program: &Path, image: &str) {
    // By which it is found when its name is taken away.
    let label = format!("LABEL {IMAGE_LABEL}={image}");
    let root = TempDir::new().unwrap();
    let copy = |from: &Path, to: &str| {
        let to = root.path().join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    };
    copy(program, "/beater");
    let linked = Command::new("ldd").arg(program).output().unwrap();
    let linked = String::from_utf8(linked.stdout).unwrap();
    for library in linked
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
    {
        let library = library.trim_end_matches(':');
        copy(Path::new(library), library);
    }
    let mut tar = Command::new("tar")
        .arg("-C")
        .arg(root.path())
        .args(["-c", "."])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let imported = Command::new("docker")
        .args(["import", "--change", r#"CMD ["/beater"]"#])
        .args(["--change", "ENV BEATER_WORKSPACE=/workspace"])
        .args(["--change", &label])
        .args(["-", image])
        .stdin(tar.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(tar.wait().unwrap().success());
    assert!(imported.status.success(), "{imported:?}");
}

impl World {
    /// A platform beside others on the engine; nothing where there is no engine.
    pub async fn new() -> Option<Self> {
        Self::with(&[]).await
    }

    /// The same with more settings.
    pub async fn with(settings: &[(&str, &str)]) -> Option<Self> {
        if !engine() {
            return None;
        }
        let part = Part::Shared(ENGINE.read().await);
        Some(Self::of(part, settings).await)
    }

    /// The same with the engine for itself.
    pub async fn alone() -> Self {
        let part = Part::Whole(ENGINE.write().await);
        Self::of(part, &[]).await
    }

    async fn of(part: Part, settings: &[(&str, &str)]) -> Self {
        let binaries = Binaries::beside(env!("CARGO_BIN_EXE_candor"));
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let name = format!("candor-test-{}-{number}", std::process::id());
        let image = format!("{NOWHERE}/{name}:1");
        import(&binaries.path("beater"), &image);
        let data = DataDir::new().unwrap();
        let socket = std::env::var("CANDOR_TEST_DOCKER").unwrap();
        let runtimes = ["langgraph", "claude-code", "unknown-runtime"];
        let images = runtimes
            .map(|runtime| format!("{runtime}={image}"))
            .join(",");
        let mut env = vec![
            ("CANDOR_BACKENDS", "docker"),
            ("CANDOR_DOCKER_SOCKET", socket.as_str()),
            ("CANDOR_DOCKER_NETWORK", &name),
            ("CANDOR_IMAGES", &images),
            ("CANDOR_HTTP_ENFORCED", "0.0.0.0:0"),
            ("CANDOR_INSTANCE_SWEEP", "500ms"),
            ("CANDOR_INSTANCE_LEASE", "5s"),
            ("CANDOR_STOP_GRACE", "2s"),
        ];
        env.extend_from_slice(settings);
        let platform = binaries.up(&data, &env).await.unwrap();
        let query = "SELECT id::text FROM provisioner.installation";
        let installation = postgres::text(&platform.database_url(), query).await;
        Self {
            installation: installation.unwrap(),
            platform,
            image,
            binaries,
            network: name,
            _data: data,
            _part: part,
        }
    }

    /// Takes the image away, under whatever runs of it.
    pub fn lose_the_image(&self) {
        docker(&["rmi", "-f", &self.image]);
    }

    /// Brings it again.
    pub fn bring_the_image(&self) {
        import(&self.binaries.path("beater"), &self.image);
    }

    /// What a query of the platform's database answers.
    pub async fn text(&self, query: &str) -> String {
        let database = self.platform.database_url();
        postgres::text(&database, query).await.unwrap()
    }

    pub async fn send(&self, call: Call) -> Answer {
        let mut client = Client::new(self.platform.http()).with_deadline(SOON);
        client.send(call).await.unwrap()
    }

    pub async fn create(&self, body: &Value) -> String {
        let made = self.send(Call::post("/workspaces", body)).await;
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()["id"].as_str().unwrap().to_owned()
    }

    pub async fn restart(&self, id: &str) {
        let call = Call::post(format!("/workspaces/{id}/restart"), &json!({}));
        let done = self.send(call).await;
        assert_eq!(done.status, 200, "{}", done.text());
    }

    pub async fn shown(&self, id: &str) -> Value {
        self.send(Call::get(format!("/workspaces/{id}")))
            .await
            .json()
    }

    pub async fn becomes(&self, id: &str, status: &str) {
        wait_for(&format!("{id} to be {status}"), SOON, || async {
            (self.shown(id).await["status"] == status).then_some(())
        })
        .await
        .unwrap();
    }

    /// How many instances began, by the file of its work that each adds a line to.
    pub fn starts(&self, id: &str) -> usize {
        let folder = TempDir::new().unwrap();
        let to = folder.path().join("starts");
        let from = format!("{}:/workspace/starts", container(id));
        docker(&["cp", &from, to.to_str().unwrap()]);
        fs::read_to_string(to).unwrap().lines().count()
    }

    /// Online with the instance of this epoch.
    pub async fn runs(&self, id: &str, epoch: i64) {
        let query = format!(
            "SELECT (v.epoch = {epoch} AND w.status = 'online' AND i.settled AND i.called)::text
             FROM registry.workspace_vitals v JOIN workspaces w ON w.id = v.id
             JOIN provisioner.instances i ON i.workspace_id = v.id WHERE v.id = '{id}'"
        );
        let database = self.platform.database_url();
        wait_for(&format!("{id} to run with epoch {epoch}"), SOON, || async {
            (postgres::text(&database, &query).await.ok()? == "true").then_some(())
        })
        .await
        .unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.platform.process().kill9();
        let ours = format!("label=candor.installation={}", self.installation);
        let images = format!("label={IMAGE_LABEL}={}", self.image);
        let remove = |list: &[&str], filter: &str, remove: &[&str]| {
            let list = [list, &["-q", "--filter", filter]].concat();
            for one in try_docker(&list).unwrap_or_default().lines() {
                try_docker(&[remove, &[one]].concat());
            }
        };
        remove(&["ps", "-a"], &ours, &["rm", "-fv"]);
        remove(&["volume", "ls"], &ours, &["volume", "rm", "-f"]);
        try_docker(&["network", "rm", &self.network]);
        remove(&["images"], &images, &["rmi", "-f"]);
    }
}

/// The name of a workspace's container.
pub fn container(id: &str) -> String {
    format!("ws-{}", &id[..12])
}
