//! Serves the page of a cluster over HTTP, on the loopback interface, to the cluster's owner only.
//!
//! Other users of the machine can connect to the loopback interface, so each request must bring a
//! token that only the link has; a browser gets it as a cookie with the first page. The `Host` of a
//! request must be a name of this machine's loopback interface: otherwise a page from elsewhere could
//! reach this one through a name of its own that it points here.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use oxidask_observe::news::Origin;
use oxidask_observe::views;
use oxidask_observe::web;
use tokio::sync::{Semaphore, oneshot};

use crate::cluster::Cluster;
use crate::observer::{Observer, Recording};

/// Connections at the same time: anybody on the machine may open one, and each is a descriptor.
const MOST_CONNECTIONS: usize = 64;
/// How long a request may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whoever watches a cluster or has a run file, until this is closed or dropped; with a page if it has
/// an address.
pub struct Page {
    address: Option<SocketAddr>,
    site: Arc<Site>,
    running: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
    /// The process that serves.
    process: u32,
}

struct Site {
    observer: Mutex<Observer>,
    token: String,
    cookie: String,
}

type Answer = Response<Bytes>;

/// Answers of so many bytes are worth compressing.
const WORTH_PACKING: usize = 1000;

/// Takes a port of the loopback interface, 0 for any that is free.
pub fn bind(port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Page {
    /// Watches a cluster: serves its page to whoever has the token, and writes its run file.
    pub fn serve(
        cluster: &Arc<Cluster>,
        origin: Origin,
        listener: Option<TcpListener>,
        token: String,
        recording: Option<Recording>,
    ) -> io::Result<Self> {
        Self::start(Observer::new(cluster, origin, recording), listener, token)
    }

    /// Serves the page of a run that was read from a file.
    pub fn replay(run: Observer, listener: TcpListener, token: String) -> io::Result<Self> {
        Self::start(run, Some(listener), token)
    }

    fn start(observer: Observer, listener: Option<TcpListener>, token: String) -> io::Result<Self> {
        let address = listener.as_ref().map(TcpListener::local_addr).transpose()?;
        // Cookies do not tell ports apart; names do.
        let cookie = format!("oxidask-{}", address.map_or(0, |address| address.port()));
        let site = Arc::new(Site { observer: Mutex::new(observer), token, cookie });
        let theirs = Arc::clone(&site);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("oxidask-page".to_owned())
            .spawn(move || serve(listener, &theirs, stopped))?;
        let process = std::process::id();
        Ok(Self { address, site, process, running: Mutex::new(Some((stop, thread))) })
    }

    /// Where the page is, for its owner; none if there is no page.
    pub fn link(&self) -> Option<String> {
        let address = self.address?;
        Some(format!("http://{address}/status?token={}", self.site.token))
    }

    /// Answers about the run, also once this is closed: the text of JSON, none if there is no answer
    /// of that name.
    pub fn answer(&self, name: &str, query: &str) -> Option<String> {
        self.site.observe(|observer| observer.answer(name, query)).map(|value| value.to_string())
    }

    /// Ends all connections and the thread.
    pub fn close(&self) {
        let running = self.running.lock().expect("nothing panics while the lock is held").take();
        if let Some((stop, thread)) = running {
            if std::process::id() != self.process {
                // In a forked child: the thread is the parent's, and so is what it serves.
                std::mem::forget((stop, thread));
                return;
            }
            // A thread that has ended by itself needs no telling; a panic there was printed there.
            let _ = stop.send(());
            drop(thread.join());
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.close();
    }
}

fn serve(listener: Option<TcpListener>, site: &Arc<Site>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    // Without it there is no page, which is no reason to disturb the cluster.
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let watching = runtime.spawn(watch(Arc::clone(site)));
        let accepting = listener.map(|one| runtime.spawn(accept(one, Arc::clone(site))));
        let _ = stopped.await;
        if let Some(accepting) = accepting {
            accepting.abort();
        }
        watching.abort();
    });
    // Connections end with the runtime, whatever they are doing.
    drop(runtime);
    site.observe(Observer::end);
}

/// Keeps what is known of the cluster up to date.
async fn watch(site: Arc<Site>) {
    while let Some(pause) = site.observe(Observer::look) {
        tokio::time::sleep(pause).await;
    }
}

async fn accept(listener: TcpListener, site: Arc<Site>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, say: it may be better in a moment.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let answer = site.answer(&request).map(Full::new);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(stream), answer);
            // A connection that breaks concerns nobody else.
            drop(connection.await);
            drop(place);
        });
    }
}

impl Site {
    fn answer(&self, request: &Request<Incoming>) -> Answer {
        let token = self.token_of(request);
        let mut answer = if !is_local(request) {
            text(StatusCode::FORBIDDEN, "this page is served to 127.0.0.1 and localhost only\n")
        } else if !token
            .is_some_and(|given| is_same_secret(given.as_bytes(), self.token.as_bytes()))
        {
            let hint = "the link of this page has a token: use client.dashboard_link as it is\n";
            text(StatusCode::FORBIDDEN, hint)
        } else if request.method() != Method::GET && request.method() != Method::HEAD {
            text(StatusCode::METHOD_NOT_ALLOWED, "this page can only be read\n")
        } else {
            self.content(request)
        };
        if takes_gzip(request) && answer.body().len() >= WORTH_PACKING {
            answer = compressed(answer);
        }
        let headers = answer.headers_mut();
        for (name, value) in [
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                 img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            ),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        answer
    }

    /// Asks the observer, who is never held for long: all that serve are in one thread.
    fn observe<R>(&self, ask: impl FnOnce(&mut Observer) -> R) -> R {
        ask(&mut self.observer.lock().expect("nothing panics while the lock is held"))
    }

    /// The token that a request brings: in its address, as a cookie, or as a bearer's.
    fn token_of<'a>(&self, request: &'a Request<Incoming>) -> Option<&'a str> {
        if let Some(token) = token_in_address(request) {
            return Some(token);
        }
        let value = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        if let Some(token) = value(header::AUTHORIZATION).and_then(|it| it.strip_prefix("Bearer "))
        {
            return Some(token);
        }
        value(header::COOKIE)?
            .split(';')
            .find_map(|cookie| cookie.trim().strip_prefix(self.cookie.as_str())?.strip_prefix('='))
    }

    fn content(&self, request: &Request<Incoming>) -> Answer {
        let path = request.uri().path();
        let mut answer = if let Some(name) = path.strip_prefix("/api/v1/") {
            self.api(name, request.uri().query().unwrap_or_default())
        } else {
            match path {
                "/" => redirection("./status"),
                "/health" => text(StatusCode::OK, "ok\n"),
                "/metrics" => self.observe(|observer| {
                    let text = views::metrics(observer.model());
                    typed(StatusCode::OK, views::METRICS_TYPE, text)
                }),
                _ => match web::file(path.trim_start_matches('/')) {
                    Some(file) => whole(file),
                    None => text(StatusCode::NOT_FOUND, "there is no such page\n"),
                },
            }
        };
        if token_in_address(request).is_some() {
            let (name, token) = (&self.cookie, &self.token);
            let cookie = format!("{name}={token}; Path=/; HttpOnly; SameSite=Strict");
            if let Ok(cookie) = HeaderValue::try_from(cookie) {
                answer.headers_mut().insert(header::SET_COOKIE, cookie);
            }
        }
        answer
    }

    /// An answer about the run, unless whoever asks has it already.
    fn api(&self, name: &str, query: &str) -> Answer {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let since = pairs.find(|&(name, _)| name == "since");
        let since = since.and_then(|(_, number)| number.parse::<u64>().ok());
        self.observe(|observer| {
            let is_live = observer.is_live();
            let model = observer.model();
            let may_change = is_live || model.is_replay;
            if may_change && since == Some(model.version) {
                return bare(StatusCode::NO_CONTENT);
            }
            if !may_change && since.is_some() {
                return text(StatusCode::GONE, "the cluster has ended\n");
            }
            match observer.answer(name, query) {
                Some(value) => json(&value),
                None => text(StatusCode::NOT_FOUND, "there is no such answer\n"),
            }
        })
    }
}

/// Whether two texts are equal, in a time that does not tell where they differ.
fn is_same_secret(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let differences = one.iter().zip(other).fold(0, |sum, (left, right)| sum | (left ^ right));
    std::hint::black_box(differences) == 0
}

fn token_in_address(request: &Request<Incoming>) -> Option<&str> {
    let mut pairs = request.uri().query()?.split('&');
    pairs.find_map(|pair| pair.strip_prefix("token="))
}

/// Whether a request calls this host by a name of the loopback interface, at whatever port: there may
/// be a tunnel.
fn is_local(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    let Some(host) = host else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "127.0.0.1" | "localhost" | "[::1]")
}

/// Whether whoever asks reads compressed answers.
fn takes_gzip(request: &Request<Incoming>) -> bool {
    let value = request.headers().get(header::ACCEPT_ENCODING).and_then(|it| it.to_str().ok());
    value.is_some_and(|value| {
        value.split(',').any(|one| {
            let (name, quality) = one.split_once(';').unwrap_or((one, ""));
            name.trim() == "gzip" && quality.trim() != "q=0"
        })
    })
}

fn compressed(answer: Answer) -> Answer {
    let mut answer = answer.map(|body| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&body).expect("a vector takes all");
        encoder.finish().expect("a vector takes all").into()
    });
    answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    answer
}

fn bare(status: StatusCode) -> Answer {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = status;
    answer
}

fn typed(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

fn text(status: StatusCode, body: &'static str) -> Answer {
    typed(status, "text/plain; charset=utf-8", body)
}

fn json(value: &serde_json::Value) -> Answer {
    typed(StatusCode::OK, "application/json", value.to_string())
}

fn whole(file: web::File) -> Answer {
    typed(StatusCode::OK, file.kind, file.content)
}

fn redirection(to: &'static str) -> Answer {
    let mut answer = bare(StatusCode::FOUND);
    answer.headers_mut().insert(header::LOCATION, HeaderValue::from_static(to));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_compared_whole() {
        assert!(is_same_secret(b"abc", b"abc"));
        assert!(!is_same_secret(b"abc", b"abd"));
        assert!(!is_same_secret(b"abc", b"ab"));
        assert!(!is_same_secret(b"", b"a"));
    }
}
