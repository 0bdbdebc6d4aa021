//! A real Prometheus for one test: [`Prometheus`] scrapes every second what it is pointed at.

use crate::support::{binaries::root, client::http, eventually, wait::SOON};
use serde_json::Value;
use std::{
    fs,
    io::Write,
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// A running server; killed with its value.
pub(super) struct Prometheus {
    child: Child,
    addr: SocketAddr,
    targets: usize,
    folder: TempDir,
}

impl Prometheus {
    /// Scrapes these processes under these job names, with the rules that are shipped.
    pub(super) async fn start(targets: &[(&str, SocketAddr)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let rules = root().join("dashboards/prometheus/rules.yml");
        let mut config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [{}]\nscrape_configs:\n",
            rules.display()
        );
        for (job, addr) in targets {
            config.push_str(&format!(
                "  - {{ job_name: {job}, static_configs: [{{ targets: ['{addr}'] }}] }}\n"
            ));
        }
        let config_file = folder.path().join("prometheus.yml");
        fs::write(&config_file, config).expect("write the configuration");
        // Prometheus does not say which port it was given, so it is given one that was free a moment ago.
        let addr = TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .expect("a free port");
        let child = Command::new(programs().server)
            .arg(format!("--config.file={}", config_file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={addr}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log")).expect("create the log"))
            .spawn()
            .expect("start prometheus");
        let this = Self {
            child,
            addr,
            targets: targets.len(),
            folder,
        };
        eventually(SOON, async || this.query("sum(up)").await.map(drop)).await;
        this
    }

    /// Waits until every target has been scraped this often from now on.
    pub(super) async fn scraped(&self, times: u32) {
        let count = "sum(count_over_time(up[1h]))";
        let now = self.number(count).await.unwrap_or(0.0);
        let wanted =
            now + f64::from(times) * f64::from(u32::try_from(self.targets).expect("few targets"));
        eventually(SOON, async || match self.number(count).await? {
            n if n >= wanted => Ok(()),
            n => Err(format!("scraped {n} times, not yet {wanted}")),
        })
        .await;
    }

    /// Whether the expression yields at least one number.
    pub(super) async fn answers(&self, expr: &str) -> Result<(), String> {
        let result = self.query(expr).await?;
        let numbers = result
            .as_array()
            .ok_or_else(|| format!("{expr}: {result}"))?;
        let is_number = |sample: &Value| {
            sample["value"][1]
                .as_str()
                .is_some_and(|value| value != "NaN")
        };
        if numbers.iter().any(is_number) {
            Ok(())
        } else {
            Err(format!("no data: {expr}: {result}"))
        }
    }

    async fn number(&self, expr: &str) -> Result<f64, String> {
        let result = self.query(expr).await?;
        result[0]["value"][1]
            .as_str()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| format!("{expr}: {result}"))
    }

    async fn query(&self, expr: &str) -> Result<Value, String> {
        let url = format!("http://{}/api/v1/query", self.addr);
        let answer = http()
            .get(url)
            .query(&[("query", expr)])
            .send()
            .await
            .map_err(|error| {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                format!("{error}\n{log}")
            })?;
        let mut answer: Value = answer.json().await.map_err(|error| error.to_string())?;
        if answer["status"] == "success" {
            Ok(answer["data"]["result"].take())
        } else {
            Err(format!("{expr}: {answer}"))
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Fails only when it ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs promtool in the workspace; it must be content.
pub(super) fn promtool(args: &[&str], stdin: &str) {
    let mut child = Command::new(programs().promtool)
        .args(args)
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start promtool");
    let mut input = child.stdin.take().expect("stdin is piped");
    input
        .write_all(stdin.as_bytes())
        .expect("promtool reads its input");
    drop(input);
    let output = child.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        output.status.success() && !said.contains("FAILED"),
        "promtool {}:\n{said}",
        args.join(" ")
    );
}

fn programs() -> dev::peers::Prometheus {
    dev::peers::prometheus().unwrap_or_else(|error| panic!("{error}"))
}
