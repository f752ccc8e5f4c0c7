//! The files of one workspace for one caller.

use std::sync::Arc;

use bytes::Bytes;
use candor_identity::Call;
use candor_kernel::{Error, Reason, Status, WorkspaceId};
use candor_proto::registry::v1::Blueprint;

use super::Path;
use super::paths::listed;
use super::room::Beside;
use crate::app::App;
use crate::backend::{Backend, BackendError, ConfigFile, FileEntry, Live, MOST_GIVEN, Root};
use crate::blueprint::{blueprint, is};
use crate::environment::environment;
use crate::store::Store;
use crate::store::files::{self, Which};
use crate::templates::{CONFIG, Declared, Templates, of_instance, unread};

/// The files of one workspace. Which one is said by its id alone: names are not unique.
pub(crate) struct View<'a> {
    app: &'a App,
    workspace: WorkspaceId,
    pub blueprint: Blueprint,
    /// A person asks, or the platform; not the workspace itself.
    operator: bool,
}

impl<'a> View<'a> {
    /// For whoever may see it.
    ///
    /// # Errors
    /// `NOT_ALLOWED`, `WORKSPACE_NOT_FOUND`; the registry's.
    pub async fn of(app: &'a App, call: &Call, workspace: WorkspaceId) -> Result<Self, Error> {
        call.self_or_operator(workspace)?;
        let blueprint = blueprint(app, workspace).await?;
        Ok(Self {
            app,
            workspace,
            blueprint,
            operator: call.operator().is_ok(),
        })
    }

    /// What is below a folder, so many folders deep.
    ///
    /// # Errors
    /// Nothing is known of the instance, or it is too much.
    pub async fn list(
        &self,
        root: Root,
        path: &str,
        depth: usize,
    ) -> Result<Vec<FileEntry>, Error> {
        if let Some(backend) = self.backend() {
            let seen = backend.list_files(self.workspace, root, path, depth).await;
            if let Live::Seen(entries) = seen.map_err(|error| told("", error))? {
                return Ok(entries);
            }
        }
        if root != Root::Configs {
            return Ok(Vec::new());
        }
        let mut all = match self.template().await? {
            Some(template) => {
                self.templates(move |templates| templates.sizes(&template))
                    .await?
            }
            None => Vec::new(),
        };
        let kept = files::list(&mut *self.app.store.connection().await?, self.workspace).await?;
        let kept = kept.into_iter();
        all.extend(kept.map(|(path, bytes)| (path, u64::try_from(bytes).unwrap_or_default())));
        let all = all.iter().map(|(path, size)| (path.as_str(), *size));
        Ok(listed(all, path, depth))
    }

    /// One file.
    ///
    /// # Errors
    /// `FILE_NOT_FOUND` as the legacy platform says it; nothing is known of the instance,
    /// or it is too long.
    pub async fn read(&self, root: Root, path: &Path) -> Result<Bytes, Error> {
        let not_found = |text: &'static str| Error::new(Reason::FileNotFound, text);
        let mut which = Which::All;
        if let Some(backend) = self.backend() {
            let read = backend.read_file(self.workspace, root, path.as_str()).await;
            match read.map_err(|error| told("", error))? {
                Live::Seen(Some(content)) => return Ok(content),
                // What the instance was given and has no more, it took away.
                Live::Seen(None) => which = Which::Fresh,
                Live::Unseen => {}
            }
        }
        let template = self.template().await?;
        if root == Root::Configs {
            if let Some(content) = self.kept(path.as_str(), which).await? {
                return Ok(content);
            }
            if let Some(template) = template.clone() {
                let path = path.as_str().to_owned();
                let read = self.templates(move |templates| templates.read(&template, &path));
                if let Some(content) = read.await? {
                    return Ok(content.into());
                }
            }
        }
        Err(not_found(match template {
            Some(_) => "file not found",
            None => "file not found (container offline, no template)",
        }))
    }

    /// Writes files below `/configs`, into the instance where it can be reached and into
    /// what the next one is given; says where they went.
    ///
    /// # Errors
    /// They do not fit beside what is kept, or something is in the way.
    pub async fn write(&self, new: Vec<(Path, Bytes)>) -> Result<&'static str, Error> {
        let mut beside = self.beside().await?;
        beside.has_room_for(&lengths(&new))?;
        let mut source = None;
        if let Some(backend) = self.backend() {
            let files = new.iter().map(|(path, content)| {
                ConfigFile::new(path.as_str(), content.clone())
                    .map_err(|_| Error::field("path", "invalid path"))
            });
            let files: Vec<ConfigFile> = files.collect::<Result<_, _>>()?;
            let written = backend.write_files(self.workspace, &files).await;
            if let Live::Seen(whereto) =
                written.map_err(|error| told("failed to write file: ", error))?
            {
                source = Some(whereto);
            }
        }
        let mut tx = self.app.store.begin().await?;
        files::lock(&mut tx, self.workspace).await?;
        beside.kept = files::list(&mut tx, self.workspace).await?;
        beside.has_room_for(&lengths(&new))?;
        let written = files::Written {
            by_operator: self.operator,
            live: source.is_some(),
        };
        let (paths, contents): (Vec<String>, Vec<Vec<u8>>) = new
            .into_iter()
            .map(|(path, content)| (path.into_string(), content.to_vec()))
            .unzip();
        if !files::write(&mut tx, self.workspace, &paths, &contents, written).await? {
            return Err(Error::new(Reason::WorkspaceNotFound, "workspace not found"));
        }
        Store::commit(tx).await?;
        Ok(source.unwrap_or("store"))
    }

    /// Takes a file away, or a folder with all that is in it.
    ///
    /// # Errors
    /// It is still there.
    pub async fn delete(&self, path: &Path) -> Result<(), Error> {
        let deleted = match self.backend() {
            Some(backend) => {
                let deleted = backend.delete_file(self.workspace, path.as_str()).await;
                deleted.map_err(|error| told("failed to delete: ", error))?
            }
            None => Live::Unseen,
        };
        // It may be where nobody can look now, and would be there again.
        if deleted == Live::Unseen && self.is_placed() {
            let text = "failed to delete: the workspace has no instance that can be looked into; start it first";
            return Err(Error::field("path", text));
        }
        let mut tx = self.app.store.begin().await?;
        files::lock(&mut tx, self.workspace).await?;
        files::delete(&mut tx, self.workspace, path.as_str()).await?;
        Store::commit(tx).await
    }

    /// What its configuration declares, as it is now; nothing if there is none that could
    /// be read.
    ///
    /// # Errors
    /// Nothing is known of the instance.
    pub async fn declared(&self) -> Result<Option<Declared>, Error> {
        let path = Path::read(CONFIG)?;
        match self.read(Root::Configs, &path).await {
            Ok(content) => Ok(Declared::read(&content).ok()),
            Err(error) if error.reason() == Reason::FileNotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What its configuration declares by the word of people: an instance writes its own
    /// files, and what its token wrote says nothing here either.
    ///
    /// # Errors
    /// `STORE_UNAVAILABLE`.
    pub async fn declared_by_people(&self) -> Result<Option<Declared>, Error> {
        if let Some(content) = self.kept(CONFIG, Which::ByOperator).await? {
            return Ok(Declared::read(&content).ok());
        }
        let Some(template) = self.template().await? else {
            return Ok(None);
        };
        self.templates(move |templates| templates.declared(&template))
            .await
    }

    async fn kept(&self, path: &str, which: Which) -> Result<Option<Bytes>, Error> {
        let mut connection = self.app.store.connection().await?;
        let content = files::read(&mut connection, self.workspace, path, which).await?;
        Ok(content.map(Bytes::from))
    }

    /// What runs its instance, if that can be asked here.
    fn backend(&self) -> Option<&Arc<dyn Backend>> {
        let name = Some(self.blueprint.backend.as_str()).filter(|_| self.is_placed())?;
        self.app.backend(name)
    }

    /// Whether a backend runs its instance, or will.
    fn is_placed(&self) -> bool {
        let blueprint = &self.blueprint;
        !blueprint.external
            && !is(&blueprint.status, Status::Removed)
            && !blueprint.backend.is_empty()
    }

    /// The template that it was made from; for people also the one that has its name, as
    /// the legacy platform finds it. A workspace may change its name, and would read what
    /// is not its own.
    async fn template(&self) -> Result<Option<String>, Error> {
        let (template, name) = (&self.blueprint.template, &self.blueprint.name);
        let (template, name) = (template.clone(), name.clone());
        let operator = self.operator;
        self.templates(move |templates| match templates.has(&template)? {
            true => Ok(Some(template)),
            false if operator => templates.named("", &name),
            false => Ok(None),
        })
        .await
    }

    /// Looks at the folder of templates, where that may block.
    async fn templates<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Templates) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, Error> {
        let templates = Templates::of(self.app);
        let looked = tokio::task::spawn_blocking(move || look(&templates));
        looked.await.map_err(Error::internal)?.map_err(unread)
    }

    /// What new files have to fit beside.
    async fn beside(&self) -> Result<Beside, Error> {
        let kept = files::list(&mut *self.app.store.connection().await?, self.workspace).await?;
        let Some(backend) = self.backend() else {
            return Ok(Beside {
                kept,
                most: MOST_GIVEN,
                ..Beside::default()
            });
        };
        let blueprint = self.blueprint.clone();
        let template = self.templates(move |templates| of_instance(templates, &blueprint));
        // What cannot be read keeps an instance from being started, and says so there.
        let environment = environment(self.app, self.workspace).await;
        let environment = environment.unwrap_or_default().into_iter();
        let bytes = environment.map(|(name, value)| name.len() + value.expose().len());
        Ok(Beside {
            kept,
            template: template.await?,
            environment: u64::try_from(bytes.sum::<usize>()).unwrap_or(u64::MAX),
            most: backend.most_given(),
        })
    }
}

fn lengths(new: &[(Path, Bytes)]) -> Vec<(&str, usize)> {
    let new = new.iter();
    new.map(|(path, content)| (path.as_str(), content.len()))
        .collect()
}

/// What a backend says, as an answer.
fn told(what: &'static str, error: BackendError) -> Error {
    match error {
        BackendError::Refused(why) => Error::field("path", format!("{what}{why}")),
        BackendError::Unavailable(why) => Error::new(
            Reason::InstanceUnreachable,
            format!("{what}the workspace's instance cannot be reached now"),
        )
        .with_internal(why)
        .with_retry_after(std::time::Duration::from_secs(5)),
    }
}
