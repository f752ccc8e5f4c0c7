//! Whose word stands below `/configs` after a restart.

use std::fs;

use candor_testkit::http::Call;
use http::Method;
use serde_json::json;

use crate::world::World;

async fn put(world: &World, id: &str, path: &str, content: &str) {
    let call = Call::new(Method::PUT, format!("/workspaces/{id}/files/{path}"));
    let answer = world.send(call.json(&json!({ "content": content }))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_restart_keeps_what_the_agent_edits_and_takes_the_template_that_it_names() {
    let world = World::new("candor-workspace").await;
    let template = world.templates().join("other");
    fs::create_dir(&template).unwrap();
    fs::write(template.join("config.yaml"), "name: other\n").unwrap();
    fs::write(template.join("rules.md"), "the template's").unwrap();
    let id = world.create("edits").await;
    world.runs(&id, 1).await;
    put(&world, &id, "notes.md", "people's").await;
    put(&world, &id, "rules.md", "people's").await;
    let at = |name: &str| world.place(&id).join("configs").join(name);
    let read = |name: &str| fs::read_to_string(at(name)).unwrap();
    fs::write(at("notes.md"), "the agent's").unwrap();
    fs::write(at("config.yaml"), "name: the agent's\n").unwrap();

    world.restart(&id).await;
    world.runs(&id, 2).await;
    assert_eq!(read("notes.md"), "the agent's");
    assert_eq!(read("config.yaml"), "name: the agent's\n");
    assert_eq!(read("rules.md"), "people's");

    let named = json!({"template": "other"});
    let call = Call::post(format!("/workspaces/{id}/restart"), &named);
    let answer = world.send(call).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    world.runs(&id, 3).await;
    assert_eq!(read("config.yaml"), "name: other\n");
    assert_eq!(read("rules.md"), "the template's");
    assert_eq!(read("notes.md"), "the agent's");

    // The template's word lasts: what was written before it does not come back.
    fs::remove_file(at("rules.md")).unwrap();
    world.restart(&id).await;
    world.runs(&id, 4).await;
    assert!(!at("rules.md").exists());
    // What the instance has no more is looked for in its template.
    let shown = world
        .send(Call::get(format!("/workspaces/{id}/files/rules.md")))
        .await;
    assert_eq!(shown.json()["content"], "the template's");
}
