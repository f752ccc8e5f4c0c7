//! A workspace's agent card as its readers see it.

use candor_a2a::card::{Access, Door, PublishedCard, Workspace, publish};
use candor_kernel::Error;
use url::Url;

use crate::app::App;
use crate::target::Target;

/// How who reads a card reaches the platform.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reader {
    base_url: String,
    grpc_url: Option<String>,
    needs_token: bool,
}

impl Reader {
    /// Empty `base_url`: the address that the relay is told.
    ///
    /// # Errors
    /// `INVALID_FIELD` for what is no address, and for none at all.
    pub fn new(app: &App, base_url: &str, needs_token: bool) -> Result<Self, Error> {
        let base_url = match base_url {
            "" => app.config.public_url.as_deref().unwrap_or_default(),
            given => given,
        };
        if base_url.is_empty() {
            let text = "base_url is required: no external platform URL is set";
            return Err(Error::field("base_url", text));
        }
        let is_web = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        if !Url::parse(base_url).as_ref().is_ok_and(is_web) {
            return Err(Error::field("base_url", "base_url must be an http(s) URL"));
        }
        Ok(Self {
            base_url: base_url.to_owned(),
            grpc_url: app.config.grpc_url.clone(),
            needs_token,
        })
    }
}

/// What `card`, the agent's own, is to a reader.
pub(crate) fn published(card: Option<&str>, target: &Target, reader: &Reader) -> PublishedCard {
    let id = target.id.to_string();
    let workspace = Workspace {
        id: &id,
        name: &target.name,
        agent_url: Some(target.url.as_str()).filter(|url| !url.is_empty()),
    };
    let door = Door {
        base_url: &reader.base_url,
        grpc_url: reader.grpc_url.as_deref(),
        access: match reader.needs_token {
            true => Access::Bearer,
            false => Access::Open,
        },
    };
    publish(card, &workspace, &door)
}
