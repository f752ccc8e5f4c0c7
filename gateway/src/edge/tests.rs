#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::cors::Cors;
use super::host::HostPolicy;
use super::paths::Paths;
use super::*;
use axum::extract::Request;
use axum::http::header::{ALLOW, HOST, LOCATION, ORIGIN};
use axum::http::{HeaderMap, Method};
use axum::routing::{get, post};
use http_body_util::BodyExt;
use tower::ServiceExt;

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

fn edge(open: bool) -> Edge {
    Edge {
        cors: Cors::default(),
        paths: Paths::new(|path| ["/workspaces", "/only-post", "/canvas/viewport"].contains(&path)),
        open_host: open.then(|| {
            HostPolicy::new("192.0.2.7".parse().unwrap()).with_names(["host.docker.internal"])
        }),
    }
}

async fn send(open: bool, method: Method, uri: &str, headers: &[(&str, &str)]) -> Answer {
    let router = Router::new()
        .route(
            "/workspaces",
            get(|| async { "[]" }).post(|| async { "made" }),
        )
        .route("/only-post", post(|| async { "ok" }))
        .route("/canvas/viewport", get(|| async { "{}" }));
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = edge(open)
        .wrap(router)
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
    }
}

const PREFLIGHT: (&str, &str) = ("access-control-request-method", "POST");

#[tokio::test]
async fn listed_origins_are_echoed() {
    for origin in ["http://localhost:3000", "http://localhost:3001"] {
        let answer = send(
            false,
            Method::GET,
            "/workspaces",
            &[(ORIGIN.as_str(), origin)],
        )
        .await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "[]"));
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert_eq!(
            answer.header("access-control-allow-credentials"),
            Some("true")
        );
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
}

#[tokio::test]
async fn preflights_of_listed_origins_are_answered() {
    let headers = [("origin", "http://localhost:3000"), PREFLIGHT];
    let answer = send(false, Method::OPTIONS, "/workspaces", &headers).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("http://localhost:3000")
    );
    assert_eq!(
        answer.header("access-control-allow-methods"),
        Some("GET,POST,PUT,PATCH,DELETE,OPTIONS")
    );
    assert_eq!(
        answer.header("access-control-allow-headers"),
        Some("Origin,Content-Type,X-Workspace-ID,Authorization")
    );
}

#[tokio::test]
async fn foreign_origins_are_refused() {
    for origin in [
        "http://evil.example",
        "null",
        "http://localhost:3000.evil.example",
        "ftp://own.example",
    ] {
        for method in [Method::GET, Method::OPTIONS] {
            let headers = [("origin", origin), ("host", "own.example"), PREFLIGHT];
            let answer = send(false, method, "/workspaces", &headers).await;
            assert_eq!((answer.status, answer.body.as_str()), (403, ""), "{origin}");
            assert_eq!(answer.header("content-type"), None);
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
}

#[tokio::test]
async fn the_own_host_is_no_foreign_origin() {
    for origin in ["http://own.example:8080", "https://own.example:8080"] {
        let headers = [("origin", origin), ("host", "own.example:8080"), PREFLIGHT];
        let got = send(false, Method::GET, "/workspaces", &headers).await;
        assert_eq!(
            (got.status, got.header("access-control-allow-origin")),
            (200, None)
        );
        let preflight = send(false, Method::OPTIONS, "/workspaces", &headers).await;
        assert_eq!(
            (preflight.status, preflight.header("allow")),
            (204, Some("GET,HEAD,POST,OPTIONS"))
        );
        assert_eq!(preflight.header("access-control-allow-methods"), None);
    }
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let cases = [
        (Method::GET, "/workspaces", 200, true),
        (Method::GET, "/workspaces/x/y", 404, true),
        (Method::GET, "/workspacesx", 404, false),
        (Method::GET, "/approvals", 404, true),
        (Method::GET, "/canvas/viewport", 200, false),
        (Method::GET, "/workspaces/", 301, true),
        (Method::PUT, "/workspaces", 405, true),
        (Method::GET, "/", 404, false),
    ];
    for (method, path, status, api) in cases {
        let answer = send(false, method, path, &[]).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert_eq!(
            answer.header("strict-transport-security"),
            Some("max-age=31536000; includeSubDomains")
        );
        assert_eq!(
            answer.header("referrer-policy"),
            Some("strict-origin-when-cross-origin")
        );
        assert_eq!(
            answer.header("permissions-policy"),
            Some("camera=(), microphone=(), geolocation=()")
        );
        let page = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self' ws: wss:; font-src 'self' data:";
        assert_eq!(
            answer.header("content-security-policy"),
            Some(if api { "default-src 'self'" } else { page }),
            "{path}"
        );
    }
}

#[tokio::test]
async fn trailing_slashes_redirect_to_known_paths() {
    let moved = send(false, Method::GET, "/workspaces/", &[]).await;
    assert_eq!(
        (moved.status, moved.header(LOCATION.as_str())),
        (301, Some("/workspaces"))
    );
    assert_eq!(
        moved.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(
        moved.body,
        "<a href=\"/workspaces\">Moved Permanently</a>.\n\n"
    );

    let query = send(false, Method::GET, "/workspaces/?a=1&b='", &[]).await;
    assert_eq!(query.header("location"), Some("/workspaces?a=1&b='"));
    assert_eq!(
        query.body,
        "<a href=\"/workspaces?a=1&amp;b=&#39;\">Moved Permanently</a>.\n\n"
    );

    let posted = send(false, Method::POST, "/workspaces/?a=1", &[]).await;
    assert_eq!((posted.status, posted.body.as_str()), (307, ""));
    assert_eq!(
        (posted.header("location"), posted.header("content-type")),
        (Some("/workspaces?a=1"), None)
    );
}

#[tokio::test]
async fn unknown_and_doubled_slashes_are_not_found() {
    for path in [
        "/nope",
        "/nope/",
        "/",
        "//workspaces",
        "//workspaces/",
        "//evil.example/",
        "/workspaces//",
    ] {
        let answer = send(false, Method::GET, path, &[]).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (404, "404 page not found"),
            "{path}"
        );
        assert_eq!(answer.header("content-type"), Some("text/plain"));
        assert_eq!(answer.header("location"), None);
    }
}

#[tokio::test]
async fn wrong_methods_name_the_right_ones() {
    let answer = send(false, Method::DELETE, "/workspaces", &[]).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (405, r#"{"error":"method not allowed"}"#)
    );
    assert_eq!(answer.header(ALLOW.as_str()), Some("GET,HEAD,POST,OPTIONS"));
    assert_eq!(
        answer.header("content-type"),
        Some("application/json; charset=utf-8")
    );

    let head = send(false, Method::HEAD, "/workspaces", &[]).await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(
        send(false, Method::HEAD, "/only-post", &[]).await.status,
        405
    );

    let options = send(false, Method::OPTIONS, "/only-post", &[]).await;
    assert_eq!(
        (
            options.status,
            options.body.as_str(),
            options.header("allow")
        ),
        (204, "", Some("POST,OPTIONS"))
    );
    assert_eq!(send(false, Method::OPTIONS, "/nope", &[]).await.status, 404);
}

#[tokio::test]
async fn open_listeners_refuse_foreign_hosts() {
    for good in [
        "localhost",
        "LOCALHOST:8080",
        "a.localhost:1",
        "127.0.0.1:8080",
        "127.9.9.9",
        "[::1]:8080",
        "192.0.2.7:1",
        "host.docker.internal:8080",
    ] {
        assert_eq!(
            send(true, Method::GET, "/workspaces", &[(HOST.as_str(), good)])
                .await
                .status,
            200,
            "{good}"
        );
    }
    for bad in [
        "evil.example",
        "localhost.evil.example:80",
        "192.0.2.8",
        "localhost@evil.example",
        "evil.example#localhost",
        "0.0.0.0",
        "",
    ] {
        let answer = send(true, Method::GET, "/workspaces", &[(HOST.as_str(), bad)]).await;
        assert_eq!(answer.status, 403, "{bad}");
        assert_eq!(
            answer.body,
            format!("{{\"error\":\"host not allowed: {bad}\"}}")
        );
        assert_eq!(
            send(false, Method::GET, "/workspaces", &[(HOST.as_str(), bad)])
                .await
                .status,
            200,
            "{bad}"
        );
    }
    let two = [("host", "localhost"), ("host", "evil.example")];
    assert_eq!(
        send(true, Method::GET, "/workspaces", &two).await.status,
        403
    );
    assert_eq!(
        send(
            true,
            Method::GET,
            "http://evil.example/workspaces",
            &[("host", "localhost")]
        )
        .await
        .status,
        403
    );
    assert_eq!(
        send(true, Method::GET, "/workspaces", &[]).await.status,
        200
    );
}

#[tokio::test]
async fn a_refused_host_learns_nothing_of_origins() {
    let headers = [("host", "evil.example"), ("origin", "http://evil.example")];
    let answer = send(true, Method::GET, "/workspaces", &headers).await;
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("host not allowed"));
}

#[tokio::test]
async fn open_listeners_say_that_nothing_is_limited() {
    for path in ["/workspaces", "/nope"] {
        assert_eq!(
            send(true, Method::GET, path, &[])
                .await
                .header("x-ratelimit-limit"),
            Some("unlimited")
        );
        assert_eq!(
            send(false, Method::GET, path, &[])
                .await
                .header("x-ratelimit-limit"),
            None
        );
    }
}
