//! HTTPS on the loopback interface, for services that refuse to be talked to without it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use azure_core::http::Transport;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A server with a certificate of its own making.
pub struct TlsServer {
    /// The name in its certificate, at which its own clients find it.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    certificate: Vec<u8>,
}

impl TlsServer {
    /// Serves a router under a name until the runtime ends.
    ///
    /// # Panics
    ///
    /// When this machine has no port or no random numbers left.
    pub async fn start(name: &str, router: Router) -> Self {
        // The runtime's own provider may have been installed by another part.
        let _ = ring::default_provider().install_default();
        let CertifiedKey { cert, signing_key }: CertifiedKey<KeyPair> =
            generate_simple_self_signed([name.to_owned()])
                .unwrap_or_else(|error| panic!("a certificate: {error}"));
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der()).into();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap_or_else(|error| panic!("a certificate: {error}"));
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap_or_else(|error| panic!("a port: {error}"));
        let address = tcp.local_addr().unwrap_or_else(|error| panic!("a port: {error}"));
        let listener = TlsListener { tcp, acceptor: TlsAcceptor::from(Arc::new(config)) };
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { name: name.to_owned(), address, certificate: cert.der().to_vec() }
    }

    /// Returns its address as a client has to name it.
    pub fn url(&self) -> String {
        format!("https://{}:{}/", self.name, self.address.port())
    }

    /// Makes a transport for the vendor's clients that trusts this server alone, and finds it by its name.
    ///
    /// # Panics
    ///
    /// When the HTTP client cannot be set up.
    pub fn transport(&self) -> Transport {
        let certificate = reqwest::Certificate::from_der(&self.certificate);
        let certificate = certificate.unwrap_or_else(|error| panic!("its own certificate: {error}"));
        let client = reqwest::Client::builder()
            .tls_certs_only([certificate])
            .resolve(&self.name, self.address)
            .connect_timeout(Duration::from_secs(5))
            .build();
        Transport::new(Arc::new(client.unwrap_or_else(|error| panic!("an HTTP client: {error}"))))
    }
}

struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // A client that gives up in the middle of the handshake stops nobody else.
            let Ok((stream, peer)) = self.tcp.accept().await else { continue };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}
