//! The members that a card must have, and the types that they must be of.
//!
//! A reader of ProtoJSON refuses the whole card for one member of a wrong type,
//! so these are taken out. Members that the protocol does not know are kept.

use serde_json::{Value, json};

use crate::object::{Object, camel_case, require};

/// A card's members that are not about addresses, as far as the two spellings
/// differ.
pub(super) const OF_A_CARD: [&str; 5] = [
    "documentationUrl",
    "iconUrl",
    "defaultInputModes",
    "defaultOutputModes",
    "supportsAuthenticatedExtendedCard",
];

/// Fills in and takes out until both versions' readers accept the card.
pub(super) fn complete(card: &mut Object, name: &str) {
    texts(
        card,
        &[
            "name",
            "description",
            "version",
            "documentationUrl",
            "iconUrl",
        ],
    );
    require(card, "name", Value::from(name));
    let described = card.get("name").and_then(Value::as_str).unwrap_or(name);
    let description = format!("{described} has not described itself.");
    require(card, "description", Value::from(description));
    require(card, "version", Value::from("0.0.0"));
    for modes in ["defaultInputModes", "defaultOutputModes"] {
        list_of_texts(card, modes);
        require(card, modes, json!(["text/plain"]));
    }
    provider(card);
    capabilities(card);
    skills(card);
}

/// Takes out what is no text, or an empty one.
fn texts(within: &mut Object, names: &[&str]) {
    for name in names {
        let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        if !within.get(*name).is_some_and(is_text) {
            within.remove(*name);
        }
    }
}

fn flags(within: &mut Object, names: &[&str]) {
    for name in names {
        if !within.get(*name).is_some_and(Value::is_boolean) {
            within.remove(*name);
        }
    }
}

/// Leaves the texts of a list; takes the member out if there are none.
fn list_of_texts(within: &mut Object, name: &str) {
    if let Some(Value::Array(items)) = within.get_mut(name) {
        items.retain(Value::is_string);
        if !items.is_empty() {
            return;
        }
    }
    within.remove(name);
}

fn provider(card: &mut Object) {
    let Some(Value::Object(provider)) = card.get_mut("provider") else {
        card.remove("provider");
        return;
    };
    texts(provider, &["organization", "url"]);
    if !provider.contains_key("organization") {
        card.remove("provider");
    }
}

fn capabilities(card: &mut Object) {
    let extended = card.get("supportsAuthenticatedExtendedCard") == Some(&Value::Bool(true));
    if !card.get("capabilities").is_some_and(Value::is_object) {
        card.insert("capabilities".to_owned(), json!({}));
    }
    let Some(Value::Object(capabilities)) = card.get_mut("capabilities") else {
        return;
    };
    let names = [
        "streaming",
        "pushNotifications",
        "stateTransitionHistory",
        "extendedAgentCard",
    ];
    camel_case(capabilities, &names);
    flags(capabilities, &names);
    extensions(capabilities);
    if extended {
        capabilities.insert("extendedAgentCard".to_owned(), Value::Bool(true));
    }
    let extended = capabilities.get("extendedAgentCard") == Some(&Value::Bool(true));
    card.insert(
        "supportsAuthenticatedExtendedCard".to_owned(),
        Value::Bool(extended),
    );
}

fn extensions(capabilities: &mut Object) {
    let Some(Value::Array(extensions)) = capabilities.get_mut("extensions") else {
        capabilities.remove("extensions");
        return;
    };
    extensions.retain_mut(|extension| {
        let Value::Object(extension) = extension else {
            return false;
        };
        texts(extension, &["uri", "description"]);
        flags(extension, &["required"]);
        if !extension.get("params").is_some_and(Value::is_object) {
            extension.remove("params");
        }
        extension.contains_key("uri")
    });
}

fn skills(card: &mut Object) {
    let stored = match card.remove("skills") {
        Some(Value::Array(skills)) => skills,
        _ => Vec::new(),
    };
    let told = stored.into_iter().enumerate();
    let told: Vec<Value> = told.filter_map(|(place, one)| skill(place, one)).collect();
    card.insert("skills".to_owned(), Value::Array(told));
}

/// A skill may be only a name. What it needs of proofs is the agent's affair,
/// as for the card.
fn skill(place: usize, stored: Value) -> Option<Value> {
    let mut skill = match stored {
        Value::Object(members) => members,
        Value::String(name) if !name.is_empty() => {
            let mut members = Object::new();
            members.insert("name".to_owned(), Value::from(name));
            members
        }
        _ => return None,
    };
    camel_case(
        &mut skill,
        &["inputModes", "outputModes", "securityRequirements"],
    );
    for proof in ["security", "securityRequirements"] {
        skill.remove(proof);
    }
    texts(&mut skill, &["id", "name", "description"]);
    for list in ["tags", "examples", "inputModes", "outputModes"] {
        list_of_texts(&mut skill, list);
    }
    let given = ["name", "title", "id", "description"];
    let given = given.iter().find_map(|name| skill.get(*name)?.as_str());
    let called = given.map_or_else(|| format!("skill {}", place + 1), str::to_owned);
    for name in ["name", "id", "description"] {
        require(&mut skill, name, Value::from(called.as_str()));
    }
    require(&mut skill, "tags", json!([]));
    Some(Value::Object(skill))
}
