#![allow(clippy::unwrap_used)]
use serde_json::json;

use super::*;

fn rewritten(card: Value, agent: &str) -> Result<Value, CardError> {
    let own_url = Url::parse("http://10.0.0.7:8000/").unwrap();
    rewrite(card, &agent.parse().unwrap(), &own_url)
}

#[test]
fn a_card_of_both_versions_points_here_and_keeps_the_rest() {
    let card = json!({
        "name": "helper", "description": "Helps.", "version": "3",
        "url": "http://0.0.0.0:9000/a2a/v1", "preferredTransport": "JSONRPC",
        "protocolVersion": "0.3.0",
        "provider": {"organization": "o", "url": "https://o.example"},
        "documentationUrl": "https://o.example/docs",
        "additionalInterfaces": [
            {"url": "http://localhost:9000/a2a/v1", "transport": "JSONRPC"},
            {"url": "http://127.0.0.1:9000/a2a/v1/rest", "transport": "HTTP+JSON"},
            {"url": "localhost:9001", "transport": "GRPC"},
            {"url": "http://localhost:9000/a2a/v1", "transport": "GRPC"},
        ],
        "supportedInterfaces": [
            {"url": "https://agent.example/a2a/v1/", "protocolBinding": "JSONRPC",
             "protocolVersion": "1.0", "tenant": "t"},
            {"url": "http://localhost:9001/", "protocolBinding": "HTTP+JSON",
             "protocolVersion": "1.0"},
        ],
        "signatures": [{"protected": "e30", "signature": "s"}],
        "skills": [{"id": "a", "examples": ["http://localhost:9000/"]}],
    });
    let golden = json!({
        "name": "helper", "description": "Helps.", "version": "3",
        "url": "http://10.0.0.7:8000/", "preferredTransport": "JSONRPC",
        "protocolVersion": "0.3.0",
        "provider": {"organization": "o", "url": "https://o.example"},
        "documentationUrl": "https://o.example/docs",
        "additionalInterfaces": [
            {"url": "http://10.0.0.7:8000/", "transport": "JSONRPC"},
            {"url": "http://10.0.0.7:8000/rest", "transport": "HTTP+JSON"},
        ],
        "supportedInterfaces": [
            {"url": "http://10.0.0.7:8000/", "protocolBinding": "JSONRPC",
             "protocolVersion": "1.0", "tenant": "t"},
        ],
        "skills": [{"id": "a", "examples": ["http://localhost:9000/"]}],
    });
    assert_eq!(
        rewritten(card, "http://localhost:9000/a2a/v1").unwrap(),
        golden
    );
}

#[test]
fn an_agent_that_prefers_grpc_is_shown_by_what_else_it_speaks() {
    let card = json!({
        "url": "http://localhost:9001", "preferredTransport": "GRPC",
        "additionalInterfaces": [
            {"url": "http://localhost:9001", "transport": "GRPC"},
            {"url": "http://localhost:9000/rest", "transport": "HTTP+JSON"},
        ],
    });
    let golden = json!({
        "url": "http://10.0.0.7:8000/rest", "preferredTransport": "HTTP+JSON",
        "additionalInterfaces": [
            {"url": "http://10.0.0.7:8000/rest", "transport": "HTTP+JSON"},
        ],
    });
    assert_eq!(rewritten(card, "http://localhost:9000").unwrap(), golden);
    let only = json!({"url": "http://localhost:9000", "preferredTransport": "GRPC"});
    let refused = rewritten(only, "http://localhost:9000");
    assert!(matches!(refused, Err(CardError::NoInterface)));
}

#[test]
fn a_card_of_1_0_needs_no_address_in_its_top_level() {
    let interface = |url: &str| {
        json!({"supportedInterfaces": [
        {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}]})
    };
    let card = rewritten(
        interface("http://localhost:9000/x"),
        "http://127.0.0.1:9000",
    );
    assert_eq!(card.unwrap(), interface("http://10.0.0.7:8000/x"));
    // Not below the agent's address, and no part of its last segment.
    let card = rewritten(
        interface("http://localhost:9000/rpc2"),
        "http://localhost:9000/rpc",
    );
    assert_eq!(card.unwrap(), interface("http://10.0.0.7:8000/"));
    for none in [json!({}), json!({"supportedInterfaces": [{"url": 1}]})] {
        let refused = rewritten(none, "http://localhost:9000");
        assert!(matches!(refused, Err(CardError::NoInterface)));
    }
}

#[test]
fn cards_are_looked_for_below_the_agents_address_and_at_the_top() {
    let of = |agent: &str| places(&agent.parse().unwrap());
    assert_eq!(
        of("http://localhost:1/"),
        [
            "http://localhost:1/.well-known/agent-card.json",
            "http://localhost:1/.well-known/agent.json"
        ]
    );
    assert_eq!(
        of("http://localhost:1/a/b/"),
        [
            "http://localhost:1/a/b/.well-known/agent-card.json",
            "http://localhost:1/.well-known/agent-card.json",
            "http://localhost:1/a/b/.well-known/agent.json",
            "http://localhost:1/.well-known/agent.json"
        ]
    );
}
