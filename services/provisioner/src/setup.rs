//! From settings to backends: which there are, and where the instances of each find the
//! platform (design section 2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use candor_kernel::Error;
use candor_process::config::{AuthMode, SharedConfig};
use sqlx::PgPool;

use crate::backend::Backend;
use crate::backend::docker::{DockerBackend, HOST_INSIDE};
use crate::backend::kubernetes::{BadSettings, Kubernetes};
use crate::backend::process::{ProcessBackend, ProcessSettings};
use crate::config::{BackendSettings, Kind};
use crate::store::Store;

/// What runs as a process, unless the operator names something else.
const PROGRAM: &str = "candor-workspace";
/// Longest question whether a backend could start something now.
const ASK: Duration = Duration::from_secs(5);
/// The port that is proposed where none is known.
const SOME_PORT: u16 = 8081;

/// Why there are no backends.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Which installation this is could not be read.
    #[error("{}", .0.for_operators())]
    Store(Error),
    /// A backend that was chosen cannot be made.
    #[error("--backends kubernetes: {0}")]
    Kubernetes(#[from] BadSettings),
}

/// Where the platform is and listens, as its instances may have to know.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where it keeps its data.
    pub data_dir: PathBuf,
    /// Where instances find it, as the operator says.
    pub platform_url: Option<String>,
    /// Where HTTP is answered.
    pub http: SocketAddr,
    /// Whether that listener asks for credentials.
    pub http_mode: AuthMode,
    /// The listener that always asks for them.
    pub http_enforced: Option<SocketAddr>,
}

/// A backend, and where its instances find the platform.
pub struct BackendHome {
    backend: Arc<dyn Backend>,
    /// Or what to do so that they find it.
    platform: Result<String, String>,
    /// What to do where it claims nothing.
    hint: Option<String>,
}

/// What runs instances here.
#[derive(Default)]
pub struct Backends(Vec<BackendHome>);

// === impl Place ===

impl Place {
    /// As the settings say; what has port 0 there is put right by whoever listens.
    #[must_use]
    pub fn of(config: &SharedConfig) -> Self {
        Self {
            data_dir: config.data_dir.clone(),
            platform_url: config.platform_url.clone(),
            http: config.listen.http,
            http_mode: config.security.exposure.mode(config.listen.http),
            http_enforced: config.listen.http_enforced,
        }
    }

    /// For processes of this machine.
    fn for_processes(&self) -> String {
        let reached = SocketAddr::new(
            match self.http.ip() {
                IpAddr::V4(any) if any.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(any) if any.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
                other => other,
            },
            self.http.port(),
        );
        let default = || format!("http://{reached}");
        self.platform_url.clone().unwrap_or_else(default)
    }

    /// For containers: on an enforced listener only, since they are not the platform's
    /// own; or what to do so that there is one.
    fn for_containers(&self) -> Result<String, String> {
        if let Some(url) = &self.platform_url {
            if is_loopback(url) {
                let why = format!("{url} is the container itself for a container");
                return Err(self.fix(&why));
            }
            return Ok(url.clone());
        }
        let enforced = (self.http_mode == AuthMode::Enforced).then_some(self.http);
        let listeners = self.http_enforced.into_iter().chain(enforced);
        let outside = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
        match listeners.clone().find(outside) {
            Some(any) if any.ip().is_unspecified() => {
                Ok(format!("http://{HOST_INSIDE}:{}", any.port()))
            }
            Some(address) => Ok(format!("http://{address}")),
            None => {
                let why = match listeners.clone().next() {
                    Some(local) => format!("{local} is on loopback, where containers call nobody"),
                    None => "containers reach no listener that asks for credentials".to_owned(),
                };
                Err(self.fix(&why))
            }
        }
    }

    fn fix(&self, why: &str) -> String {
        let port = match self.http_enforced.unwrap_or(self.http).port() {
            0 => SOME_PORT,
            port if self.http_enforced.is_some() => port,
            port => port.saturating_add(1),
        };
        format!(
            "{why}: add --http-enforced 0.0.0.0:{port} (CANDOR_HTTP_ENFORCED), or name an \
             address that they reach with --platform-url (CANDOR_PLATFORM_URL)"
        )
    }
}

/// Whether a URL leads nowhere but to the machine that uses it.
fn is_loopback(url: &str) -> bool {
    let parsed = url::Url::parse(url).ok();
    match parsed.as_ref().and_then(url::Url::host) {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

// === impl BackendHome ===

impl BackendHome {
    /// A backend whose instances find the platform at this URL.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>, platform_url: impl Into<String>) -> Self {
        Self {
            backend,
            platform: Ok(platform_url.into()),
            hint: None,
        }
    }

    /// The backend.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// Where its instances find the platform.
    ///
    /// # Errors
    /// What to do so that they find it.
    pub fn platform_url(&self) -> Result<&str, &str> {
        self.platform.as_deref().map_err(String::as_str)
    }

    /// The runtimes that it claims now; none where the platform would not be found.
    #[must_use]
    pub fn runtimes(&self) -> Vec<String> {
        match self.platform {
            Ok(_) => self.backend.runtimes(),
            Err(_) => Vec::new(),
        }
    }

    /// Why it could start nothing now, and what to do.
    pub async fn problem(&self) -> Option<String> {
        if let Err(why) = &self.platform {
            return Some(why.clone());
        }
        if self.backend.runtimes().is_empty()
            && let Some(hint) = &self.hint
        {
            return Some(hint.clone());
        }
        match tokio::time::timeout(ASK, self.backend.ready()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {ASK:?}")),
        }
    }
}

// === impl Backends ===

impl Backends {
    /// Those that the settings choose, for the installation of this database.
    ///
    /// # Errors
    /// [`SetupError`].
    pub async fn open(
        pool: &PgPool,
        settings: BackendSettings,
        place: &Place,
    ) -> Result<Self, SetupError> {
        let installation = Store::new(pool.clone()).installation().await;
        let installation = installation.map_err(SetupError::Store)?.to_string();
        let chosen = settings.chosen.clone();
        let mut homes = Vec::with_capacity(chosen.len());
        for kind in chosen {
            homes.push(match kind {
                Kind::Process => processes(&settings, place, &installation),
                Kind::Docker => containers(&settings, place, &installation),
                Kind::Kubernetes => pods(&settings, place, &installation).await?,
            });
        }
        Ok(Self(homes))
    }

    /// The one of this name.
    #[must_use]
    pub fn home(&self, name: &str) -> Option<&BackendHome> {
        self.homes().find(|home| home.backend.name() == name)
    }

    /// All of them.
    pub fn homes(&self) -> impl Iterator<Item = &BackendHome> {
        self.0.iter()
    }

    /// All of them, whatever their instances find.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Backend>> {
        self.homes().map(BackendHome::backend)
    }
}

impl FromIterator<BackendHome> for Backends {
    fn from_iter<T: IntoIterator<Item = BackendHome>>(homes: T) -> Self {
        Self(homes.into_iter().collect())
    }
}

fn processes(settings: &BackendSettings, place: &Place, installation: &str) -> BackendHome {
    let root = settings.process_root.clone();
    let root = root.unwrap_or_else(|| place.data_dir.join("instances"));
    let (program, hint) = match &settings.process_program {
        Some(named) => (named.clone(), None),
        None => found(
            std::env::current_exe().ok().as_deref(),
            std::env::var_os("PATH").as_deref(),
        ),
    };
    let settings = ProcessSettings::new(root, program, installation);
    BackendHome {
        hint,
        ..BackendHome::new(
            Arc::new(ProcessBackend::new(settings)),
            place.for_processes(),
        )
    }
}

/// The program beside this one, else the first on PATH, else where it should be, with
/// what to do.
fn found(this: Option<&Path>, path: Option<&std::ffi::OsStr>) -> (PathBuf, Option<String>) {
    let beside = this
        .and_then(Path::parent)
        .map(|folder| folder.join(PROGRAM));
    let on_path = path.into_iter().flat_map(std::env::split_paths);
    let on_path = on_path.filter(|folder| folder.is_absolute());
    let mut places = beside
        .iter()
        .cloned()
        .chain(on_path.map(|folder| folder.join(PROGRAM)));
    if let Some(program) = places.find(|program| program.is_file()) {
        return (program, None);
    }
    let expected = beside.unwrap_or_else(|| PROGRAM.into());
    let hint = format!(
        "there is neither {} nor a {PROGRAM} on PATH: install it, or name it with \
         --process-program (CANDOR_PROCESS_PROGRAM)",
        expected.display()
    );
    (expected, Some(hint))
}

fn containers(settings: &BackendSettings, place: &Place, installation: &str) -> BackendHome {
    let platform = place.for_containers();
    let mut settings = settings.docker.clone();
    installation.clone_into(&mut settings.installation);
    settings.platform_url = platform.as_ref().ok().cloned();
    BackendHome {
        backend: Arc::new(DockerBackend::new(settings)),
        platform,
        hint: None,
    }
}

async fn pods(
    settings: &BackendSettings,
    place: &Place,
    installation: &str,
) -> Result<BackendHome, BadSettings> {
    let mut settings = settings.kubernetes.clone();
    installation.clone_into(&mut settings.installation);
    let platform = place.platform_url.clone().unwrap_or_else(|| {
        // The Service of deploy/kubernetes.
        let (namespace, port) = (&settings.platform.namespace, settings.platform.port);
        format!("http://candor-gateway.{namespace}.svc:{port}")
    });
    let hint = settings.images.is_empty().then(|| {
        "no runtime has an image: name them with --images runtime=image (CANDOR_IMAGES)".to_owned()
    });
    Ok(BackendHome {
        hint,
        ..BackendHome::new(Arc::new(Kubernetes::connect(settings).await?), platform)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn place(http: &str, http_enforced: Option<&str>) -> Place {
        let http: SocketAddr = http.parse().unwrap();
        Place {
            data_dir: "/nowhere".into(),
            platform_url: None,
            http_mode: if http.ip().is_loopback() {
                AuthMode::Open
            } else {
                AuthMode::Enforced
            },
            http,
            http_enforced: http_enforced.map(|address| address.parse().unwrap()),
        }
    }

    #[test]
    fn a_process_calls_the_listener_of_this_machine() {
        for (http, url) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:80", "http://[::1]:80"),
            ("10.0.0.7:8080", "http://10.0.0.7:8080"),
        ] {
            assert_eq!(place(http, None).for_processes(), url);
        }
        let mut named = place("127.0.0.1:8080", None);
        named.platform_url = Some("https://candor.example".into());
        assert_eq!(named.for_processes(), "https://candor.example");
    }

    #[test]
    fn a_container_calls_an_enforced_listener_that_it_reaches() {
        for (http, enforced, url) in [
            (
                "127.0.0.1:1",
                Some("172.17.0.1:8081"),
                "http://172.17.0.1:8081",
            ),
            (
                "127.0.0.1:1",
                Some("0.0.0.0:8081"),
                "http://host.docker.internal:8081",
            ),
            (
                "127.0.0.1:1",
                Some("[::]:8081"),
                "http://host.docker.internal:8081",
            ),
            ("0.0.0.0:8080", None, "http://host.docker.internal:8080"),
            (
                "0.0.0.0:8080",
                Some("127.0.0.1:8081"),
                "http://host.docker.internal:8080",
            ),
        ] {
            assert_eq!(place(http, enforced).for_containers().unwrap(), url);
        }
    }

    #[test]
    fn without_one_the_flag_is_named() {
        for (http, enforced, flag) in [
            ("127.0.0.1:8080", None, "--http-enforced 0.0.0.0:8081 "),
            ("127.0.0.1:0", None, "--http-enforced 0.0.0.0:8081 "),
            (
                "127.0.0.1:1",
                Some("127.0.0.1:9000"),
                "--http-enforced 0.0.0.0:9000 ",
            ),
        ] {
            let why = place(http, enforced).for_containers().unwrap_err();
            assert!(
                why.contains(flag) && why.contains("CANDOR_PLATFORM_URL"),
                "{why}"
            );
        }
        let mut open = place("0.0.0.0:8080", None);
        open.http_mode = AuthMode::Open;
        assert!(
            open.for_containers().is_err(),
            "it asks nobody for credentials"
        );
        for url in [
            "http://localhost:8080",
            "http://127.0.0.1",
            "http://[::1]:1",
        ] {
            let mut named = place("0.0.0.0:8080", None);
            named.platform_url = Some(url.into());
            assert!(named.for_containers().unwrap_err().contains(url));
        }
    }

    #[test]
    fn the_program_is_beside_this_one_or_on_the_path_or_missed_by_name() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let this = here.path().join("candor");
        let path = there.path().as_os_str();
        let (expected, hint) = found(Some(&this), Some(path));
        assert_eq!(expected, here.path().join(PROGRAM));
        let hint = hint.unwrap();
        assert!(
            hint.contains("--process-program") && hint.contains("PATH"),
            "{hint}"
        );
        std::fs::write(there.path().join(PROGRAM), "").unwrap();
        let on_path = (there.path().join(PROGRAM), None);
        assert_eq!(found(Some(&this), Some(path)), on_path);
        std::fs::write(here.path().join(PROGRAM), "").unwrap();
        assert_eq!(found(Some(&this), Some(path)), (expected, None));
    }
}
