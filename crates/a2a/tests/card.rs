//! Cards: what is published of what was stored, and what never is.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use candor_a2a::Version::{self, V03, V10};
use candor_a2a::card::{Access, Door, PublishedCard, Workspace, publish, spoken, version_of};
use candor_a2a::grpc;
use candor_proto::a2a::v1;
use proptest::prelude::*;
use serde_json::{Value, json};

const WORKSPACE: Workspace<'_> = Workspace {
    id: "w-1",
    name: "Scout",
    agent_url: Some("http://172.18.0.5:8000"),
};
const DOOR: Door<'_> = Door {
    base_url: "https://candor.example/",
    grpc_url: None,
    access: Access::Open,
};
const ADDRESS: &str = "https://candor.example/a2a/w-1";

fn card(stored: &Value) -> Value {
    let PublishedCard { json, .. } = publish(Some(&stored.to_string()), &WORKSPACE, &DOOR);
    serde_json::from_str(&json).unwrap()
}

/// What every card has, and these members of its own.
fn expected(own: Value) -> Value {
    let mut card = json!({
        "name": "Scout", "description": "Scout has not described itself.", "version": "0.0.0",
        "capabilities": {}, "supportsAuthenticatedExtendedCard": false,
        "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"], "skills": [],
        "url": ADDRESS, "preferredTransport": "JSONRPC", "protocolVersion": "0.3.0",
        "additionalInterfaces": [{"url": ADDRESS, "transport": "JSONRPC"}],
        "supportedInterfaces": [
            {"url": ADDRESS, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
            {"url": ADDRESS, "protocolBinding": "JSONRPC", "protocolVersion": "0.3"},
        ],
    });
    let Value::Object(own) = own else {
        panic!("no object")
    };
    card.as_object_mut().unwrap().extend(own);
    card
}

#[test]
fn without_a_card_the_workspace_speaks_for_itself() {
    let json = publish(None, &WORKSPACE, &DOOR).json;
    assert_eq!(
        serde_json::from_str::<Value>(&json).unwrap(),
        expected(json!({}))
    );
    for none in ["null", "[]", "\"card\"", "{", "", "{}"] {
        assert_eq!(publish(Some(none), &WORKSPACE, &DOOR).json, json, "{none}");
    }
}

#[test]
fn a_minimal_card_is_completed() {
    let told = card(&json!({"name": "Ada", "skills": ["dig", {"name": "Sum up"},
        {"id": "x", "description": "does x", "tags": ["t", 1], "security": [{"k": []}]},
        {"title": "T"}, {}, 7, ""]}));
    let skill = |id: &str, name: &str, description: &str, tags: Value| json!({"id": id, "name": name, "description": description, "tags": tags});
    let mut titled = skill("T", "T", "T", json!([]));
    titled["title"] = json!("T");
    let own = json!({"name": "Ada", "description": "Ada has not described itself.", "skills": [
        skill("dig", "dig", "dig", json!([])),
        skill("Sum up", "Sum up", "Sum up", json!([])),
        skill("x", "x", "does x", json!(["t"])),
        titled,
        skill("skill 5", "skill 5", "skill 5", json!([])),
    ]});
    assert_eq!(told, expected(own));
}

#[test]
fn a_card_of_0_3_points_at_the_gateway_and_keeps_the_rest() {
    let told = card(&json!({
        "name": "Ada", "description": "at http://172.18.0.5:8000/x or 172.18.0.5", "version": "2.1",
        "url": "http://172.18.0.5:8000/", "preferredTransport": "GRPC", "protocolVersion": "0.3.0",
        "additionalInterfaces": [{"url": "http://ada.internal.example:9000", "transport": "GRPC"}],
        "capabilities": {"streaming": true, "pushNotifications": false,
            "stateTransitionHistory": true, "extensions": [{"uri": "urn:e", "required": true,
                "params": {"callback": "HTTP://Ada.Internal.Example:9000/cb"}}]},
        "securitySchemes": {"k": {"type": "apiKey", "in": "header", "name": "X"}},
        "security": [{"k": []}], "supportsAuthenticatedExtendedCard": true,
        "default_input_modes": ["application/json"], "defaultOutputModes": "text",
        "provider": {"organization": "O", "url": "https://o.example"},
        "documentationUrl": "http://172.18.0.5:8000/docs", "iconUrl": "https://o.example/i.png",
        "signatures": [{"protected": "p", "signature": "s"}], "vendor": {"k": [1.5]}, "skills": [],
    }));
    let own = json!({
        "name": "Ada", "version": "2.1",
        "description": format!("at {ADDRESS}/x or candor.example/a2a/w-1"),
        "capabilities": {"streaming": true, "pushNotifications": false, "extendedAgentCard": true,
            "stateTransitionHistory": true, "extensions": [{"uri": "urn:e", "required": true,
                "params": {"callback": format!("{ADDRESS}/cb")}}]},
        "supportsAuthenticatedExtendedCard": true, "defaultInputModes": ["application/json"],
        "provider": {"organization": "O", "url": "https://o.example"},
        "iconUrl": "https://o.example/i.png", "vendor": {"k": [1.5]},
    });
    assert_eq!(told, expected(own));
}

#[test]
fn a_card_of_1_0_keeps_its_tenant_and_loses_its_signatures() {
    let told = card(&json!({
        "name": "Ada", "description": "d", "version": "1", "capabilities": {"streaming": true},
        "supportedInterfaces": [
            {"url": "http://10.0.0.7/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0",
             "tenant": "blue"},
            {"url": "http://10.0.0.7:50051", "protocolBinding": "GRPC", "protocolVersion": "1.0"},
        ],
        "securitySchemes": {"k": {"apiKeySecurityScheme": {"location": "header", "name": "X"}}},
        "securityRequirements": [{"schemes": {"k": {"list": []}}}],
        "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
        "signatures": [{"protected": "p", "signature": "s"}],
        "skills": [{"id": "s", "name": "S", "description": "d", "tags": ["t"],
            "securityRequirements": [{"schemes": {"k": {}}}], "examples": ["e"]}],
    }));
    let own = json!({
        "name": "Ada", "description": "d", "version": "1", "capabilities": {"streaming": true},
        "skills": [{"id": "s", "name": "S", "description": "d", "tags": ["t"], "examples": ["e"]}],
        "supportedInterfaces": [
            {"url": ADDRESS, "protocolBinding": "JSONRPC", "protocolVersion": "1.0",
             "tenant": "blue"},
            {"url": ADDRESS, "protocolBinding": "JSONRPC", "protocolVersion": "0.3"},
        ],
    });
    assert_eq!(told, expected(own));
}

#[test]
fn grpc_and_the_proof_that_a_listener_wants_are_told() {
    let door = Door {
        grpc_url: Some("https://candor.example:50051"),
        access: Access::Bearer,
        ..DOOR
    };
    let json = publish(None, &WORKSPACE, &door).json;
    let told: Value = serde_json::from_str(&json).unwrap();
    let own = json!({
        "supportedInterfaces": [
            {"url": ADDRESS, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
            {"url": ADDRESS, "protocolBinding": "JSONRPC", "protocolVersion": "0.3"},
            {"url": "https://candor.example:50051", "protocolBinding": "GRPC",
             "protocolVersion": "1.0", "tenant": "w-1"},
        ],
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer",
            "httpAuthSecurityScheme": {"scheme": "Bearer"}}},
        "security": [{"bearer": []}],
        "securityRequirements": [{"schemes": {"bearer": {"list": []}}}],
    });
    assert_eq!(told, expected(own));
    let read: v1::AgentCard = grpc::from_json(&json).unwrap();
    let scheme = read.security_schemes["bearer"].scheme.clone().unwrap();
    assert!(
        matches!(scheme, v1::security_scheme::Scheme::HttpAuthSecurityScheme(http)
        if http.scheme == "Bearer")
    );
    assert!(read.security_requirements[0].schemes.contains_key("bearer"));
}

#[test]
fn links_that_lead_inside_are_not_told() {
    let rows = [
        ("https://docs.example/a", true),
        ("https://8.8.8.8/a", true),
        ("data:image/png;base64,AAAA", true),
        ("http://172.18.0.5:8000/docs", false),
        ("http://172.18.0.5/docs", false),
        ("http://10.1.2.3/", false),
        ("http://100.64.0.1/", false),
        ("http://127.0.0.1:80/", false),
        ("http://169.254.169.254/latest", false),
        ("http://[::1]/", false),
        ("http://[fd00::1]/", false),
        ("http://[::ffff:10.0.0.1]/", false),
        ("http://0x7f000001/", false),
        ("http://agent/", false),
        ("http://ada.default.svc.cluster.local/", false),
        ("http://metadata.google.internal./", false),
        ("docs", false),
        ("file:///etc/passwd", false),
    ];
    for (link, told) in rows {
        let stored = json!({"documentationUrl": link, "iconUrl": link,
            "provider": {"organization": "O", "url": link}});
        let card = card(&stored);
        assert_eq!(card.get("documentationUrl").is_some(), told, "{link}");
        assert_eq!(card.get("iconUrl").is_some(), told, "{link}");
        let provider = if told { link } else { ADDRESS };
        assert_eq!(card["provider"]["url"], provider, "{link}");
    }
}

#[test]
fn the_etag_changes_with_the_card_and_only_with_it() {
    let etag = |stored: &str| publish(Some(stored), &WORKSPACE, &DOOR).etag;
    let one = etag(r#"{"name":"a","version":"1"}"#);
    assert_eq!(one, etag(r#"{ "version" : "1", "name" : "a" }"#));
    assert_ne!(one, etag(r#"{"name":"b","version":"1"}"#));
    assert!(
        one.len() == 34 && one.starts_with('"') && one.ends_with('"'),
        "{one}"
    );
}

#[test]
fn a_card_says_which_versions_its_agent_speaks() {
    let interface = |binding: &str, version: &str| json!({"url": "u", "protocolBinding": binding, "protocolVersion": version});
    let rows: [(Value, &[Version]); 13] = [
        (json!({}), &[V03]),
        (json!(null), &[V03]),
        (json!({"name": "a", "skills": []}), &[V03]),
        (json!({"protocolVersion": "0.3.0"}), &[V03]),
        (json!({"protocolVersion": "0.2.6"}), &[V03]),
        (json!({"protocolVersion": "1.0"}), &[V10]),
        (json!({"protocol_version": "1.0.1"}), &[V10]),
        (json!({"protocolVersion": 1}), &[V03]),
        (
            json!({"supportedInterfaces": [interface("JSONRPC", "1.0")]}),
            &[V10],
        ),
        (json!({"supportedInterfaces": [{"url": "u"}]}), &[V10]),
        (
            json!({"supportedInterfaces": [interface("GRPC", "1.0")]}),
            &[V03],
        ),
        (
            json!({"supportedInterfaces": [interface("jsonrpc", "0.3"), interface("JSONRPC", "1.1")]}),
            &[V03, V10],
        ),
        (
            json!({"supported_interfaces": [{"protocol_binding": "JSONRPC",
            "protocol_version": "1.0"}], "protocolVersion": "0.3.0"}),
            &[V10, V03],
        ),
    ];
    for (stored, versions) in rows {
        let stored = stored.to_string();
        let read = spoken(Some(&stored));
        assert_eq!(read.versions, versions, "{stored}");
        assert_eq!(version_of(&stored), versions[0]);
        for caller in Version::ALL {
            let chosen = read.version_for(caller);
            let same = versions.contains(&caller);
            assert_eq!(chosen, if same { caller } else { versions[0] });
        }
    }
    assert_eq!(spoken(None).versions, [V03]);
    let ours = publish(None, &WORKSPACE, &DOOR).json;
    assert_eq!(spoken(Some(&ours)).versions, [V10, V03]);
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i16>().prop_map(Value::from),
        Just(json!("http://172.18.0.5:8000/x")),
        Just(json!(
            "see HTTP://172.18.0.5:8000, 172.18.0.5:8000 or ada.example"
        )),
        "[a-z ]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let names = proptest::sample::select(vec![
            "name",
            "description",
            "version",
            "url",
            "skills",
            "capabilities",
            "extensions",
            "provider",
            "organization",
            "tags",
            "id",
            "uri",
            "params",
            "examples",
            "required",
            "streaming",
            "signatures",
            "iconUrl",
            "icon_url",
            "default_input_modes",
            "defaultInputModes",
            "supportedInterfaces",
            "supported_interfaces",
            "tenant",
            "security_schemes",
            "securityRequirements",
            "protocolBinding",
            "inputModes",
            "input_modes",
            "extended_agent_card",
            "vendor",
            "172.18.0.5:8000",
        ]);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(names, inner, 0..6).prop_map(|members| {
                let named = members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value));
                Value::Object(named.collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_stored_a_valid_card_is_published(mut stored in anything()) {
        if let Some(members) = stored.as_object_mut() {
            members.insert("additionalInterfaces".to_owned(), json!([{"url": "http://ada.example"}]));
        }
        let published = publish(Some(&stored.to_string()), &WORKSPACE, &DOOR);
        let text = published.json.to_ascii_lowercase();
        prop_assert!(!text.contains("172.18.0.5"), "{text}");
        prop_assert!(stored.is_null() || !stored.is_object() || !text.contains("ada.example"), "{text}");

        let new: v1::AgentCard = grpc::from_json(&published.json).unwrap();
        prop_assert!(!new.name.is_empty() && !new.description.is_empty());
        prop_assert!(!new.version.is_empty() && new.capabilities.is_some());
        prop_assert!(!new.default_input_modes.is_empty() && !new.default_output_modes.is_empty());
        prop_assert!(new.signatures.is_empty() && new.security_schemes.is_empty());
        prop_assert!(new.supported_interfaces.iter().all(|one| one.url == ADDRESS));
        for skill in &new.skills {
            prop_assert!(!skill.id.is_empty() && !skill.name.is_empty());
            prop_assert!(!skill.description.is_empty());
        }

        let old: Value = serde_json::from_str(&published.json).unwrap();
        prop_assert_eq!(&old["url"], ADDRESS);
        prop_assert!(old["capabilities"].is_object() && old["skills"].is_array());
        for skill in old["skills"].as_array().unwrap() {
            prop_assert!(skill["tags"].is_array());
        }
        let again = publish(Some(&published.json), &WORKSPACE, &DOOR);
        prop_assert_eq!(again, published);
    }
}
