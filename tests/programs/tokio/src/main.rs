//! A server as Rust programs have it.

use std::time::Duration;

use axum::Router;
use axum::routing::get;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new().route("/", get(answer));
    let listener = tokio::net::TcpListener::bind("0.0.0.0:3000").await?;
    axum::serve(listener, app).await
}

async fn answer() -> String {
    tokio::time::sleep(Duration::from_millis(20)).await;
    format!("pid {}", std::process::id())
}
