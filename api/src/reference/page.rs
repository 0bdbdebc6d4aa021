//! The reference page: [`render`] makes one HTML page from the document, without scripts, fonts or images.

use super::{
    curl::example,
    html::{escape, prose},
    resolve::{Document, text},
    schema::{fields, type_of},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, fmt::Write as _};

const STYLE: &str = include_str!("page.css");

/// Allows the page its own style and nothing else, from nowhere.
pub(super) fn content_security_policy() -> String {
    let digest = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// Writes the page.
pub(super) fn render(document: &Value) -> String {
    let info = &document["info"];
    let mut navigation = String::new();
    let mut sections = String::new();
    for tag in document["tags"].as_array().into_iter().flatten() {
        let name = text(tag, "name");
        let _ = write!(navigation, "<li><a href=\"#{name}\">{name}</a><ul>");
        let _ = write!(
            sections,
            "<section id=\"{name}\"><h2>{name}</h2><p>{}</p>",
            prose(text(tag, "description"))
        );
        for (method, path, operation) in operations(document, name) {
            let id = text(operation, "operationId");
            let _ = write!(
                navigation,
                "<li><a href=\"#{id}\">{}</a>",
                escape(text(operation, "summary"))
            );
            sections.push_str(&describe(Document(document), method, path, operation));
        }
        navigation.push_str("</ul>");
        sections.push_str("</section>");
    }
    let description = text(info, "description").replace("\n\n", "\n");
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title} API</title><style>{STYLE}</style></head>\
         <body><nav><h1>{title} API</h1><p>{version} · <a href=\"/openapi.json\">openapi.json</a></p>\
         <ul>{navigation}<li><a href=\"#errors\">errors</a><li><a href=\"#schemas\">schemas</a></ul></nav>\
         <main><p>{description}</p>{sections}{errors}{schemas}</main></body></html>\n",
        title = escape(text(info, "title")),
        version = escape(text(info, "version")),
        description = prose(&description),
        errors = errors(document),
        schemas = schemas(document),
    )
}

/// Lists the operations of a tag as method, path and description.
fn operations<'a>(
    document: &'a Value,
    tag: &'a str,
) -> impl Iterator<Item = (&'a str, &'a str, &'a Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().into_iter().flatten();
            methods.map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
        })
        .filter(move |(_, _, operation)| operation["tags"][0] == tag)
}

fn describe(document: Document<'_>, method: &str, path: &str, operation: &Value) -> String {
    let id = text(operation, "operationId");
    let mut html = format!(
        "<article id=\"{id}\"><h3><a href=\"#{id}\">{}</a></h3>\
         <p class=\"call\"><b class=\"{method}\">{}</b> <code>{}</code></p>",
        escape(text(operation, "summary")),
        method.to_uppercase(),
        escape(path),
    );
    let details = text(operation, "description");
    if !details.is_empty() {
        let _ = write!(html, "<p>{}</p>", prose(details));
    }
    let _ = write!(html, "<p class=\"access\">{}</p>", access(operation));
    html.push_str(&parameters(document, operation));
    html.push_str(&body(document, operation));
    html.push_str(&responses(document, operation));
    let _ = write!(
        html,
        "<h4>Example</h4><pre>{}</pre></article>",
        escape(&example(document, method, path, operation))
    );
    html
}

fn access(operation: &Value) -> String {
    let scope = text(operation, "x-scope");
    if scope.is_empty() {
        return "Public.".to_owned();
    }
    let operators = if operation["x-operators-only"] == true {
        ", only for the operators' tenant"
    } else {
        ""
    };
    format!("Needs a session with the scope <code>{scope}</code>{operators}.")
}

fn parameters(document: Document<'_>, operation: &Value) -> String {
    let mut html = String::new();
    for parameter in document.items(&operation["parameters"]) {
        let mark = if parameter["required"] == true {
            " <em>required</em>"
        } else {
            ""
        };
        let _ = write!(
            html,
            "<tr><td><code>{}</code>{mark}<td>{}<td>{}<td>{}</tr>",
            escape(text(parameter, "name")),
            text(parameter, "in"),
            type_of(&parameter["schema"]),
            prose(text(parameter, "description"))
        );
    }
    if html.is_empty() {
        return html;
    }
    format!(
        "<h4>Parameters</h4><table><tr><th>Name<th>In<th>Type<th>Description</tr>{html}</table>"
    )
}

fn body(document: Document<'_>, operation: &Value) -> String {
    let request = &operation["requestBody"];
    let mut html = String::new();
    for (media_type, content) in request["content"].as_object().into_iter().flatten() {
        let schema = &content["schema"];
        let optional = if request["required"] == false {
            ", optional"
        } else {
            ""
        };
        let _ = write!(
            html,
            "<h4>Body <small>{media_type}{optional}: {}, at most {} bytes</small></h4>{}",
            type_of(schema),
            operation["x-body-limit"],
            fields(document.resolve(schema))
        );
    }
    html
}

fn responses(document: Document<'_>, operation: &Value) -> String {
    let mut html =
        String::from("<h4>Responses</h4><table><tr><th>Status<th>Body<th>Description</tr>");
    let mut failures = String::new();
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let response = document.resolve(response);
        if is_failure(status) {
            let codes = codes(response).map(|(code, _)| format!("<a href=\"#{code}\">{code}</a>"));
            let codes: Vec<String> = codes.collect();
            let _ = write!(failures, "<li>{status} {}", codes.join(", "));
        } else {
            html.push_str(&success(status, response));
        }
    }
    let _ = write!(
        html,
        "</table><details><summary>Failures, each a <a href=\"#schema-Problem\">Problem</a></summary>\
         <ul>{failures}</ul></details>"
    );
    html
}

fn success(status: &str, response: &Value) -> String {
    let content = response["content"].as_object().into_iter().flatten();
    let bodies: Vec<String> = content
        .map(|(media_type, content)| {
            let schema = type_of(&content["schema"]);
            format!("{schema} <small>{media_type}</small>")
        })
        .collect();
    let headers = response["headers"].as_object().into_iter().flatten();
    let headers: Vec<String> = headers
        .map(|(name, _)| format!("<code>{name}</code>"))
        .collect();
    format!(
        "<tr><td>{status}<td>{}<td>{}<br><small>{}</small></tr>",
        bodies.join("<br>"),
        prose(text(response, "description")),
        headers.join(" ")
    )
}

fn is_failure(status: &str) -> bool {
    status.starts_with(['4', '5'])
}

/// The codes of a failure with their titles: the lines of its description.
fn codes(response: &Value) -> impl Iterator<Item = (&str, &str)> {
    let lines = text(response, "description").lines();
    lines.filter_map(|line| line.strip_prefix('`')?.split_once("`: "))
}

/// Lists every code with its status and title.
fn errors(document: &Value) -> String {
    let mut all = BTreeMap::new();
    let methods = document["paths"].as_object().into_iter().flatten();
    let operations = methods.flat_map(|(_, methods)| methods.as_object().into_iter().flatten());
    for (_, operation) in operations {
        for (status, response) in operation["responses"].as_object().into_iter().flatten() {
            if is_failure(status) {
                let codes = codes(Document(document).resolve(response));
                all.extend(codes.map(|(code, title)| ((status, code), title)));
            }
        }
    }
    let mut html = String::from(
        "<section id=\"errors\"><h2>errors</h2><table><tr><th>Status<th>Code<th>Title</tr>",
    );
    for ((status, code), title) in all {
        let _ = write!(
            html,
            "<tr id=\"{code}\"><td>{status}<td><code>{code}</code><td>{}</tr>",
            prose(title)
        );
    }
    html.push_str("</table></section>");
    html
}

fn schemas(document: &Value) -> String {
    let mut html = String::from("<section id=\"schemas\"><h2>schemas</h2>");
    let all = document["components"]["schemas"].as_object();
    for (name, schema) in all.into_iter().flatten() {
        let _ = write!(
            html,
            "<article id=\"schema-{name}\"><h3><a href=\"#schema-{name}\">{name}</a></h3><p>{}</p>",
            prose(text(schema, "description"))
        );
        let fields = fields(schema);
        if fields.is_empty() {
            let _ = write!(html, "<p>{}</p>", type_of(schema));
        }
        html.push_str(&fields);
        html.push_str("</article>");
    }
    html.push_str("</section>");
    html
}
