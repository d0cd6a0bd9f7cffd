//! What needs no key: pages for people, the documents, and health.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hookturn::api::v2026_03_01::problem_types::PROBLEM_TYPES;
use hookturn::store::MemoryStore;
use hookturn_test::openapi::DOCUMENTS;
use hookturn_test::{ACME, Answer, Fault, FaultyStore, Server, frozen};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

fn assert_page(answer: &Answer) {
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(
        answer.header("content-type"),
        Some("text/html; charset=utf-8"),
        "{answer}"
    );
}

/// The values of attributes that make a browser load something.
fn loaded(html: &str) -> Vec<&str> {
    ["src=\"", "href=\"", "action=\"", "srcset=\"", "data=\""]
        .iter()
        .flat_map(|attribute| html.split(attribute).skip(1))
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

#[tokio::test]
async fn every_problem_type_has_a_page_that_names_it_and_its_codes() {
    let server = Server::start().await;
    let home = server.get("/").no_key().await;
    assert_page(&home);
    for problem in PROBLEM_TYPES {
        let path = format!("/problems/{}", problem.slug);
        let page = server.get(&path).no_key().await;
        assert_page(&page);
        let text = page.text();
        assert!(text.contains(problem.title), "{page}");
        assert!(text.contains(problem.status.as_str()), "{page}");
        for (code, _) in problem.codes {
            assert!(text.contains(code), "{code}\n{page}");
        }
        assert!(home.text().contains(&path), "the home page leads to {path}");
    }
}

/// Every `type` in the examples of the document: that of each problem that the API can answer.
fn documented_types(value: &Value, types: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(kind) = members.get("type").and_then(Value::as_str)
                && kind.starts_with("http://")
            {
                types.insert(kind.to_owned());
            }
            members
                .values()
                .for_each(|member| documented_types(member, types));
        }
        Value::Array(items) => items.iter().for_each(|item| documented_types(item, types)),
        _ => {}
    }
}

#[tokio::test]
async fn every_documented_problem_type_answers_a_page() {
    let server = Server::start().await;
    let mut types = BTreeSet::new();
    documented_types(&DOCUMENTS[0].whole, &mut types);
    assert!(types.len() >= 7, "{types:?}");
    for kind in types {
        let path = kind
            .strip_prefix("http://127.0.0.1:8080")
            .expect("the public URL");
        assert_page(&server.get(path).no_key().await);
    }
}

#[tokio::test]
async fn the_type_of_every_problem_that_is_answered_leads_to_its_page() {
    let clock = frozen();
    let store = FaultyStore::sound(Arc::new(MemoryStore::new(clock.clone())));
    let builder = Server::builder()
        .clock(clock)
        .store(store.clone())
        .rate_limit(20);
    let builder = builder.body_timeout(std::time::Duration::from_millis(100));
    let server = builder.start().await;
    let endpoints = "/webhooks/endpoints";
    let unsigned = server.subscription("one", false).await;
    let unsigned = format!(
        "{endpoints}/{}/secrets",
        unsigned["id"].as_str().expect("an id")
    );
    let slow = format!(
        "POST {endpoints} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nAuthorization: Bearer {ACME}\r\n\
         Content-Length: 10\r\n\r\n"
    );
    let mut answers = vec![
        server.post(endpoints).json_text("{").await,
        server.get(endpoints).no_key().await,
        server.get("/nothing").await,
        server.delete(endpoints).await,
        server.post(endpoints).json(&json!({})).await,
        server.get(&unsigned).await,
        server.raw(slow.as_bytes()).await,
    ];
    store.set(Some(Fault::ErrorBefore));
    answers.push(server.get(endpoints).await);
    while answers.last().is_none_or(|answer| answer.status != 429) {
        answers.push(server.get(endpoints).await);
    }
    let mut titles = BTreeSet::new();
    for answer in answers {
        let problem = answer.json();
        let kind = problem["type"].as_str().expect("a type");
        let path = kind
            .strip_prefix(&server.base)
            .expect("under the public URL");
        let page = server.get(path).no_key().await;
        assert_page(&page);
        let title = problem["title"].as_str().expect("a title").to_owned();
        assert!(page.text().contains(&title), "{page}");
        titles.insert(title);
    }
    assert_eq!(
        titles.len(),
        PROBLEM_TYPES.len(),
        "each type was seen: {titles:?}"
    );
}

#[tokio::test]
async fn the_documents_are_served_as_they_are_generated() {
    let server = Server::start().await;
    for document in &*DOCUMENTS {
        let answer = server
            .get(&format!("/openapi/{}.json", document.name))
            .no_key()
            .await;
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.expect_json(200), document.whole);
    }
}

#[tokio::test]
async fn the_documentation_and_all_pages_load_nothing_from_another_host() {
    let server = Server::start().await;
    let mut stylesheets = 0;
    let redirect = server.get("/docs").no_key().await;
    assert!((300..400).contains(&redirect.status), "{redirect}");
    assert_eq!(redirect.header("location"), Some("/docs/"));
    for (page, base) in [
        ("/docs/", "/docs/"),
        ("/", "/"),
        ("/problems/internal", "/problems/"),
    ] {
        let html = server.get(page).no_key().await;
        assert_eq!(html.status, 200, "{html}");
        let text = html.text();
        assert!(page != "/docs/" || loaded(&text).len() > 4, "{html}");
        for target in loaded(&text) {
            assert!(
                !target.contains("//") && !target.contains("data:"),
                "{page} loads {target}"
            );
            let path = if target.starts_with('/') {
                target.to_owned()
            } else {
                format!("{base}{}", target.trim_start_matches("./"))
            };
            let asset = server.get(&path).no_key().await;
            assert!([200, 303].contains(&asset.status), "{page} loads {asset}");
            if asset.header("content-type") == Some("text/css") {
                stylesheets += 1;
                let css = asset.text();
                assert!(!css.contains("@import"), "{path}");
                let mut urls = css.split("url(").skip(1);
                assert!(
                    urls.all(|url| url.trim_start_matches(['"', '\'']).starts_with("data:")),
                    "{path}"
                );
            }
        }
    }
    assert!(stylesheets >= 2, "{stylesheets} were looked at");
    // The online validator would be told where the documents are.
    let start = server.get("/docs/swagger-initializer.js").no_key().await;
    let text = start.text();
    for name in [
        "/openapi/2026-03-01.json",
        "/openapi/verbex-v1.json",
        "\"validatorUrl\": \"none\"",
    ] {
        assert!(text.contains(name), "{name}\n{start}");
    }
    assert!(!text.contains("http"), "{start}");
}

#[tokio::test]
async fn health_is_that_of_the_process_and_readiness_that_of_the_store() {
    let clock = frozen();
    let store = FaultyStore::sound(Arc::new(MemoryStore::new(clock.clone())));
    let server = Server::builder()
        .clock(clock)
        .store(store.clone())
        .start()
        .await;
    for fault in [
        None,
        Some(Fault::ErrorBefore),
        Some(Fault::PanicBefore),
        None,
    ] {
        store.set(fault);
        assert_eq!(server.get("/healthz").no_key().await.status, 200);
        let ready = server.get("/readyz").no_key().await;
        if fault.is_none() {
            assert_eq!(ready.status, 200, "{ready}");
        } else {
            ready.problem(500, "internal", "internal_error");
        }
    }
}

/// What stands between these two, each time that the first is there.
fn between<'a>(html: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    let parts = html.split(start).skip(1);
    parts.filter_map(|part| part.split(end).next()).collect()
}

/// How a policy names a style that stands in a page itself.
fn digest_source(style: &str) -> String {
    let digest = Sha256::digest(style);
    format!("'sha256-{}'", BASE64_STANDARD.encode(digest))
}

#[tokio::test]
async fn a_page_may_do_nothing_but_what_it_does_and_be_in_no_frame() {
    let server = Server::start().await;
    for (path, status) in [
        ("/", 200),
        ("/problems/internal", 200),
        ("/problems/nothing", 404),
        ("/docs", 303),
        ("/docs/", 200),
        ("/docs/index.html", 200),
        ("/docs/oauth2-redirect.html", 200),
        ("/docs/swagger-ui.css", 200),
        ("/docs/swagger-ui-bundle.js", 200),
        ("/docs/swagger-initializer.js", 200),
        ("/openapi/2026-03-01.json", 200),
        ("/openapi/verbex-v1.json", 200),
    ] {
        let page = server.get(path).no_key().await;
        assert_eq!(page.status, status, "{path}");
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        let policy = page.header("content-security-policy").expect("a policy");
        let directives: Vec<&str> = policy.split("; ").collect();
        for directive in [
            "default-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(directives.contains(&directive), "{path}: {policy}");
        }
        assert!(
            !policy.contains("unsafe") && !policy.contains('*'),
            "{policy}"
        );
        if !page
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/html"))
        {
            continue;
        }
        let html = page.text();
        // Scripts and styles that stand in the page itself run only if the policy names their
        // digest.
        for style in between(&html, "<style>", "</style>") {
            let source = format!("style-src {}", digest_source(style));
            assert!(
                directives.contains(&source.as_str()),
                "{path} wants {source}"
            );
        }
        for script in between(&html, "<script", "</script>") {
            let (attributes, text) = script.split_once('>').expect("the tag's end");
            assert!(
                attributes.contains("src=\"") && text.trim().is_empty(),
                "{script}"
            );
            assert!(
                directives.contains(&"script-src 'self'"),
                "{path}: {policy}"
            );
        }
        let lower = html.to_lowercase();
        for inline in [
            " style=",
            " onload=",
            " onclick=",
            " onerror=",
            "javascript:",
            "<iframe",
            "<object",
        ] {
            assert!(!lower.contains(inline), "{path} has {inline}");
        }
    }
}

#[tokio::test]
async fn the_logo_of_the_documentation_may_have_its_style() {
    let server = Server::start().await;
    let page = server.get("/docs/").no_key().await;
    let policy = page.header("content-security-policy").expect("a policy");
    let mut found = 0;
    for path in [
        "/docs/swagger-ui-bundle.js",
        "/docs/swagger-ui-standalone-preset.js",
    ] {
        let script = server.get(path).no_key().await.text();
        for style in between(&script, "\".logo_", "\"") {
            let style = format!(".logo_{style}");
            assert!(
                policy.contains(&digest_source(&style)),
                "{policy} for {style}"
            );
            found += 1;
        }
    }
    assert!(found > 0, "the logo has no style any more");
}

#[tokio::test]
async fn no_answer_is_to_be_taken_for_another_type_than_it_says() {
    let server = Server::start().await;
    for answer in [
        server.get("/healthz").no_key().await,
        server.get("/nothing").no_key().await,
        server.get("/v1/public/<b>").no_key().await,
        server.get("/webhooks/endpoints").await,
        server.delete("/webhooks/endpoints").await,
        server.post("/webhooks/endpoints").json_text("{").await,
    ] {
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{answer}"
        );
    }
}
