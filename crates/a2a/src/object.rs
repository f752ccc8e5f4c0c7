//! Changes to the members of a JSON object.

use serde_json::{Map, Value};

/// Why JSON is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misshapen(pub(crate) &'static str);

/// A JSON object.
pub(crate) type Object = Map<String, Value>;

/// A step of a translation.
pub(crate) type Told<T = ()> = Result<T, Misshapen>;

/// The object that this value is.
pub(crate) fn object(value: Value, otherwise: &'static str) -> Told<Object> {
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(Misshapen(otherwise)),
    }
}

/// Removes a member. `null` is as good as absent, in both versions.
pub(crate) fn take(from: &mut Object, name: &str) -> Option<Value> {
    from.remove(name).filter(|value| !value.is_null())
}

/// Removes a member if it is an object.
pub(crate) fn take_object(from: &mut Object, name: &str) -> Option<Object> {
    match from.get_mut(name)? {
        Value::Object(members) => {
            let members = std::mem::take(members);
            from.remove(name);
            Some(members)
        }
        _ => None,
    }
}

/// Gives a member another name, unless that name is taken.
pub(crate) fn rename(within: &mut Object, old: &str, new: &str) {
    if within.get(new).is_none_or(Value::is_null)
        && let Some(value) = take(within, old)
    {
        within.insert(new.to_owned(), value);
    }
}

/// Moves a member to another object, under another name, unless that is taken.
pub(crate) fn transfer(from: &mut Object, old: &str, to: &mut Object, new: &str) {
    if to.get(new).is_none_or(Value::is_null)
        && let Some(value) = take(from, old)
    {
        to.insert(new.to_owned(), value);
    }
}

/// Fills in a member that the other version requires.
pub(crate) fn require(within: &mut Object, name: &str, otherwise: Value) {
    if within.get(name).is_none_or(Value::is_null) {
        within.insert(name.to_owned(), otherwise);
    }
}

/// Translates a member that is an object; leaves anything else to the receiver.
pub(crate) fn member(within: &mut Object, name: &str, tell: impl Fn(&mut Object)) {
    if let Some(Value::Object(members)) = within.get_mut(name) {
        tell(members);
    }
}

/// Translates the objects of a member that is an array.
pub(crate) fn each(within: &mut Object, name: &str, tell: impl Fn(&mut Object)) {
    if let Some(Value::Array(items)) = within.get_mut(name) {
        let objects = items.iter_mut().filter_map(Value::as_object_mut);
        objects.for_each(tell);
    }
}

/// Gives members their names in lower camel case. Readers of ProtoJSON must
/// take the names of the `.proto` file as well. Where both stand, which is wrong,
/// JSON's own wins.
pub(crate) fn camel_case(within: &mut Object, names: &[&str]) {
    for name in names {
        let snake = name.chars().fold(String::new(), |mut snake, letter| {
            if letter.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(letter.to_ascii_lowercase());
            snake
        });
        if snake != *name {
            rename(within, &snake, name);
            within.remove(&snake);
        }
    }
}

/// Without a member of this name and text: what tells objects of 0.3 apart.
pub(crate) fn drop_kind(within: &mut Object, kind: &str) {
    if within.get("kind").is_some_and(|found| found == kind) {
        within.remove("kind");
    }
}
