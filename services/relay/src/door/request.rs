//! What is asked at the door, and how the agent is asked.

use bytes::Bytes;
use candor_a2a::card::spoken;
use candor_a2a::jsonrpc::{Id, Refused, Request, parse_request, request_body};
use candor_a2a::{Error, ErrorKind, Method, Version, translate};
use candor_proto::relay::v1 as pb;
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::Binding;
use crate::app::App;
use crate::card::Reader;

/// A request whose envelope, version and operation are right.
pub(super) struct Asked<'a> {
    pub id: Id<'a>,
    method: Method,
    version: Version,
    params: Option<&'a RawValue>,
}

impl<'a> Asked<'a> {
    /// Reads a JSON-RPC body under its `A2A-Version`.
    ///
    /// # Errors
    /// With the id to answer under: what the protocol says of such a request.
    pub fn read(body: &'a [u8], version: &str) -> Result<Self, Refused<'a>> {
        let Request { id, method, params } = parse_request(body)?;
        let refuse = |error| Refused {
            id: id.clone(),
            error,
        };
        let version = Version::from_header(Some(version)).map_err(refuse)?;
        let method = named(&method, version).map_err(refuse)?;
        Ok(Self {
            id,
            method,
            version,
            params,
        })
    }

    /// For whom a card in the answer is, if there will be one.
    ///
    /// # Errors
    /// `INVALID_FIELD`.
    pub fn reader(
        &self,
        app: &App,
        request: &pb::DeliverRequest,
    ) -> Result<Option<Reader>, candor_kernel::Error> {
        let has_card = self.method == Method::GetExtendedCard;
        has_card
            .then(|| Reader::new(app, &request.base_url, request.needs_token))
            .transpose()
    }
}

/// A name of the other version is no operation of this one; whoever uses it learns
/// why.
fn named(name: &str, version: Version) -> Result<Method, Error> {
    match Method::from_name(name) {
        Some((method, of)) if of == version => Ok(method),
        Some((method, of)) => {
            let text = format!(
                "{name} is of A2A {}; in {}, which A2A-Version asks for, it is {}",
                of.as_str(),
                version.as_str(),
                method.name(version)
            );
            Err(Error::new(ErrorKind::MethodNotFound, text))
        }
        None => Err(Error::new(ErrorKind::MethodNotFound, "no such method")),
    }
}

/// How a message is said to its agent, and its answer to the caller.
#[derive(Debug, Clone)]
pub(crate) struct Strict {
    pub(super) id: Id<'static>,
    pub(super) method: Method,
    pub(super) caller: Version,
    pub(super) agent: Version,
    /// Request and answer pass byte for byte.
    pub(super) as_is: bool,
    /// For whom the card in the answer is.
    pub(super) reader: Option<Reader>,
    letter: Bytes,
}

impl Strict {
    /// `card` is the agent's own, which says what it speaks.
    ///
    /// # Errors
    /// `InvalidParams`, if they cannot be said in the agent's version.
    pub(super) fn new(
        asked: Asked<'_>,
        body: &Bytes,
        card: &str,
        binding: Binding,
        reader: Option<Reader>,
    ) -> Result<Self, Error> {
        let spoken = spoken(Some(card));
        let (caller, agent) = (asked.version, spoken.version_for(asked.version));
        let is_translated = caller != agent;
        // Callers of 1.0 over JSON-RPC have the agent's tenant from its card.
        let tenant = spoken
            .tenant
            .filter(|_| agent == Version::V10 && (is_translated || binding == Binding::Grpc));
        // An agent may take what has no id for a notification, and say nothing.
        let has_id = asked.id != Id::NULL;
        let as_is = !is_translated && has_id && tenant.is_none();
        let letter = if as_is {
            body.clone()
        } else {
            let params = translate::params(asked.method, (caller, agent), asked.params)?;
            let params = match tenant {
                Some(tenant) => with_tenant(&params, tenant)?.into(),
                None => params,
            };
            let id = match has_id {
                true => asked.id.clone(),
                false => Id::text(&Uuid::new_v4().to_string()),
            };
            request_body(&id, asked.method.name(agent), Some(&params)).into()
        };
        Ok(Self {
            id: asked.id.into_owned(),
            method: asked.method,
            caller,
            agent,
            as_is,
            reader,
            letter,
        })
    }

    /// What the agent is sent.
    pub(crate) fn letter(&self) -> Bytes {
        self.letter.clone()
    }

    /// The version that it is sent in.
    pub(crate) const fn agent_version(&self) -> &'static str {
        self.agent.as_str()
    }

    /// Whether the agent may answer with a stream.
    pub(crate) const fn is_streaming(&self) -> bool {
        self.method.is_streaming()
    }
}

fn with_tenant(params: &str, tenant: String) -> Result<String, Error> {
    let invalid = |why: &str| Error::new(ErrorKind::InvalidParams, format!("params: {why}"));
    let mut params: Value =
        serde_json::from_str(params).map_err(|error| invalid(&error.to_string()))?;
    let members = params
        .as_object_mut()
        .ok_or_else(|| invalid("not an object"))?;
    members.insert("tenant".to_owned(), Value::from(tenant));
    Ok(params.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    const OLD: &str = r#"{"protocolVersion":"0.3.0","url":"http://a/"}"#;
    const NEW: &str = r#"{"supportedInterfaces":[{"url":"http://a/","protocolBinding":"JSONRPC",
        "protocolVersion":"1.0","tenant":"blue"}]}"#;

    fn strict(body: &Value, version: &str, card: &str, binding: Binding) -> Strict {
        let body = Bytes::from(body.to_string());
        let asked = Asked::read(&body, version).ok().unwrap();
        Strict::new(asked, &body, card, binding, None).unwrap()
    }

    fn sent(strict: &Strict) -> Value {
        serde_json::from_slice(&strict.letter()).unwrap()
    }

    #[test]
    fn what_both_speak_passes_byte_for_byte() {
        let old = json!({"jsonrpc": "2.0", "id": 7, "method": "tasks/get", "params": {"id": "t"}});
        let told = strict(&old, "", OLD, Binding::JsonRpc);
        assert!(told.as_is);
        assert_eq!(sent(&told), old);
        let new = json!({"jsonrpc": "2.0", "id": "a", "method": "GetTask", "params": {"id": "t"}});
        let told = strict(&new, "1.0", NEW, Binding::JsonRpc);
        assert!(told.as_is);
        assert_eq!((sent(&told), told.agent_version()), (new, "1.0"));
    }

    #[test]
    fn each_agent_is_asked_in_its_own_version_and_by_its_tenant() {
        let old = json!({"jsonrpc": "2.0", "id": 7, "method": "tasks/get", "params": {"id": "t"}});
        let told = sent(&strict(&old, "0.3", NEW, Binding::JsonRpc));
        assert_eq!(told["method"], "GetTask");
        assert_eq!(told["id"], 7);
        assert_eq!(told["params"], json!({"id": "t", "tenant": "blue"}));
        let new = json!({"jsonrpc": "2.0", "id": 7, "method": "GetTask", "params": {"id": "t"}});
        let told = sent(&strict(&new, "1.0", OLD, Binding::Grpc));
        assert_eq!(told["method"], "tasks/get");
        assert_eq!(told["params"], json!({"id": "t"}));
        let told = sent(&strict(&new, "1.0", NEW, Binding::Grpc));
        assert_eq!(told["params"]["tenant"], "blue");
    }

    #[test]
    fn a_request_without_an_id_is_no_notification() {
        let body = json!({"jsonrpc": "2.0", "method": "tasks/get", "params": {"id": "t"}});
        let told = strict(&body, "", OLD, Binding::JsonRpc);
        assert!(sent(&told)["id"].is_string());
        assert_eq!(told.id.as_json(), "null");
    }

    #[test]
    fn what_is_wrong_is_said_under_the_requests_id() {
        let rows = [
            ("{", "", ErrorKind::Parse, "null"),
            ("[]", "", ErrorKind::InvalidRequest, "null"),
            (
                r#"{"id":1,"method":"tasks/get"}"#,
                "",
                ErrorKind::InvalidRequest,
                "1",
            ),
            (
                r#"{"jsonrpc":"2.0","id":"x","method":"tasks/get"}"#,
                "9.9",
                ErrorKind::VersionNotSupported,
                "\"x\"",
            ),
            (
                r#"{"jsonrpc":"2.0","id":2,"method":"GetTask"}"#,
                "",
                ErrorKind::MethodNotFound,
                "2",
            ),
            (
                r#"{"jsonrpc":"2.0","id":2,"method":"tasks/get"}"#,
                "1.0",
                ErrorKind::MethodNotFound,
                "2",
            ),
            (
                r#"{"jsonrpc":"2.0","id":2,"method":"nope"}"#,
                "",
                ErrorKind::MethodNotFound,
                "2",
            ),
            (
                r#"{"jsonrpc":"2.0","id":2,"method":"tasks/get","params":[]}"#,
                "",
                ErrorKind::InvalidParams,
                "2",
            ),
        ];
        for (body, version, kind, id) in rows {
            let refused = Asked::read(body.as_bytes(), version).err().unwrap();
            assert_eq!(refused.error.kind(), kind, "{body}");
            assert_eq!(refused.id.as_json(), id, "{body}");
        }
    }
}
