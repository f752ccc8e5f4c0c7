//! A stand-in for a Kubernetes API server and one node, on a real socket.
//!
//! It keeps what it is given as the real one does: validated by the published types
//! with unknown fields refused ([`kinds`], [`rules`]), with versions and conflicts,
//! labels, pages, graces, owners and protected volumes ([`store`]). It lets a client do
//! only what its Role says and writes down what was done ([`serve`]). Its node
//! ([`node`]) really lays Secrets out as files and really runs init containers; the
//! program of a container is a function of the test.
//!
//! It is no cluster: it knows the five kinds that the product makes, one namespace's
//! worth of admission, no watches and no network.

mod fault;
mod kinds;
mod node;
mod pods;
mod rules;
mod serve;
mod store;
#[cfg(test)]
mod tests;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use fault::Fault;
pub use node::{Does, Program, Started};

use fault::Faults;
use node::Node;
use store::Store;

/// One thing that was done, or may be: API group, resource, verb.
pub type Deed = (String, String, String);

/// The stand-in. Dropped, it is gone with all that runs on its node.
pub struct KubeApi {
    addr: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
    node: Option<std::thread::JoinHandle<()>>,
}

/// What its parts share.
struct Shared {
    store: Mutex<Store>,
    node: Mutex<Node>,
    faults: Mutex<Faults>,
    done: Mutex<BTreeSet<Deed>>,
    allowed: Mutex<Option<BTreeSet<Deed>>>,
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }
    fn node(&self) -> MutexGuard<'_, Node> {
        lock(&self.node)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl KubeApi {
    /// Listens on a free port of loopback; every container on its node runs `program`.
    ///
    /// # Errors
    /// When there is no port or no folder for the node.
    pub async fn start(program: Program) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            store: Mutex::new(Store::default()),
            node: Mutex::new(Node::new(program)?),
            faults: Mutex::new(Faults::default()),
            done: Mutex::new(BTreeSet::new()),
            allowed: Mutex::new(None),
        });
        let server = tokio::spawn(serve::serve(listener, Arc::clone(&shared)));
        let of_node = Arc::clone(&shared);
        let node = std::thread::spawn(move || pods::live(&of_node));
        Ok(Self {
            addr,
            shared,
            server,
            node: Some(node),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// From now on only this may be done.
    pub fn allow(&self, deeds: impl IntoIterator<Item = Deed>) {
        *lock(&self.shared.allowed) = Some(deeds.into_iter().collect());
    }

    /// From now on Pods are held to the level `restricted` of pod security.
    pub fn restrict(&self) {
        self.shared.store().is_restricted = true;
    }

    /// All that was done.
    #[must_use]
    pub fn done(&self) -> BTreeSet<Deed> {
        lock(&self.shared.done).clone()
    }

    /// The next `times` calls of this verb on this resource meet a fault.
    pub fn fail(&self, verb: &str, resource: &str, fault: Fault, times: usize) {
        lock(&self.shared.faults).add(verb, resource, fault, times);
    }

    /// Calls that still are to meet a fault.
    #[must_use]
    pub fn faults(&self) -> usize {
        lock(&self.shared.faults).left()
    }

    /// Lists hold at most this many objects a page.
    pub fn page(&self, objects: usize) {
        self.shared.store().page = objects;
    }

    /// All objects of a resource, by name.
    #[must_use]
    pub fn objects(&self, resource: &str) -> BTreeMap<String, Value> {
        self.shared.store().of(resource)
    }

    /// Puts an object there as somebody else would.
    ///
    /// # Panics
    /// If it is not valid.
    #[allow(clippy::panic)]
    pub fn put(&self, resource: &str, namespace: &str, object: Value) {
        let Some(kind) = kinds::find(resource) else {
            panic!("{resource} is not known");
        };
        if let Err(refusal) = self.shared.store().create(kind, namespace, object) {
            panic!("{refusal:?}");
        }
    }

    /// Asks objects of that name to go, as somebody else would.
    pub fn delete(&self, resource: &str, name: &str) {
        let Some(kind) = kinds::find(resource) else {
            return;
        };
        let mut store = self.shared.store();
        let of = store.of(resource).remove(name);
        if let Some(object) = of {
            let namespace = store::text(&object, "/metadata/namespace");
            // It was there a line above, under the same lock.
            let _going = store.delete(kind, namespace, name, &store::Going::default());
        }
    }

    /// The node has no room for new Pods, or has again.
    pub fn fill_node(&self, is_full: bool) {
        self.shared.node().is_full = is_full;
    }

    /// The node is cut off, or comes back. What runs on it goes on; nobody hears of it.
    pub fn cut_node_off(&self, is_cut_off: bool) {
        self.shared.node().is_cut_off = is_cut_off;
    }

    /// From now on what runs with these labels does not end, whoever asks; with none,
    /// everything ends again.
    pub fn undying(&self, labels: &[(&str, &str)]) {
        let labels = labels.iter().map(|&(k, v)| (k.to_owned(), v.to_owned()));
        self.shared.node().undying = labels.collect();
    }

    /// This image cannot be pulled, and what the registry says.
    pub fn no_image(&self, image: &str, said: &str) {
        let mut node = self.shared.node();
        node.missing.insert(image.to_owned(), said.to_owned());
    }

    /// Kills what runs in the Pods that carry these labels, as a stranger on the node.
    pub fn kill(&self, labels: &[(&str, &str)]) {
        self.shared.node().kill(labels);
    }

    /// What runs on the node in Pods with these labels, whether the API knows it or not.
    #[must_use]
    pub fn running(&self, labels: &[(&str, &str)]) -> Vec<Started> {
        self.shared.node().running(labels)
    }

    /// What a call to `http://<service>.<namespace>.svc:<port>` reaches.
    #[must_use]
    pub fn reached(&self, url: &str) -> Vec<Started> {
        let selector = self.shared.store().selector_of(url);
        let Some((selector, pods)) = selector else {
            return Vec::new();
        };
        let labels: Vec<_> = selector.iter().map(|(k, v)| (&**k, &**v)).collect();
        let mut running = self.shared.node().running(&labels);
        running.retain(|started| pods.contains(&started.pod));
        running
    }
}

impl Drop for KubeApi {
    fn drop(&mut self) {
        self.server.abort();
        self.shared.node().is_over = true;
        if let Some(node) = self.node.take() {
            // It notices within one look.
            let _ended = node.join();
        }
    }
}
