//! [`FaultServer`]: a model server on bare sockets that fails in as many ways as a network and a provider can.
//!
//! A request names its fault by a mark in its text, `fault-7.`, so that one server and one client serve a whole table.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What becomes of a request.
#[derive(Clone, Debug)]
pub(crate) enum ServerFault {
    /// A complete response with these headers, one a line.
    Says(u16, String, String),
    /// Half of a response, and the connection is reset.
    Resets,
    /// Half of a response, and the connection is closed.
    CutsOff,
    /// Half of a response, and nothing more.
    Stalls,
}

/// See the module; stops with its value.
pub(crate) struct FaultServer {
    pub(crate) addr: SocketAddr,
    requests: Arc<Mutex<Vec<usize>>>,
    server: JoinHandle<()>,
}

/// The mark of a fault.
pub(crate) fn mark(fault: usize) -> String {
    format!("fault-{fault}.")
}

impl FaultServer {
    pub(crate) async fn start(faults: Vec<ServerFault>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("bind a free port");
        let addr = listener.local_addr().expect("a bound address");
        let requests = Arc::new(Mutex::new(vec![0; faults.len()]));
        let counts = Arc::clone(&requests);
        let faults = Arc::new(faults);
        let server = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(answer(connection, Arc::clone(&faults), Arc::clone(&counts)));
            }
        });
        Self {
            addr,
            requests,
            server,
        }
    }

    /// How many requests met this fault.
    pub(crate) fn requests(&self, fault: usize) -> usize {
        self.requests.lock().expect("no panic with the lock")[fault]
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Answers one request; no connection serves two.
async fn answer(
    mut connection: TcpStream,
    faults: Arc<Vec<ServerFault>>,
    counts: Arc<Mutex<Vec<usize>>>,
) -> std::io::Result<()> {
    let request = read(&mut connection).await?;
    let number = request
        .split("fault-")
        .nth(1)
        .and_then(|rest| rest.split('.').next());
    let number: usize = number
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no mark in {request}"));
    counts.lock().expect("no panic with the lock")[number] += 1;
    let half = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{\"choices\": [";
    match &faults[number] {
        ServerFault::Says(status, headers, body) => {
            let headers: String = headers.lines().map(|line| format!("{line}\r\n")).collect();
            let head = format!(
                "HTTP/1.1 {status} Status\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
                body.len()
            );
            connection.write_all(head.as_bytes()).await?;
            connection.write_all(body.as_bytes()).await?;
            connection.shutdown().await
        }
        ServerFault::Resets => {
            connection.write_all(half.as_bytes()).await?;
            connection.set_zero_linger()
        }
        ServerFault::CutsOff => {
            connection.write_all(half.as_bytes()).await?;
            connection.shutdown().await
        }
        ServerFault::Stalls => {
            connection.write_all(half.as_bytes()).await?;
            // Until the client gives up.
            connection.read(&mut [0]).await.map(drop)
        }
    }
}

/// Reads a request with its body.
async fn read(connection: &mut TcpStream) -> std::io::Result<String> {
    let mut request = Vec::new();
    loop {
        let read = connection.read_buf(&mut request).await?;
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                return Ok(text.into_owned());
            }
        }
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}
