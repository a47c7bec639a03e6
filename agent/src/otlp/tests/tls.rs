//! Collectors behind TLS, with and without a certificate of the client.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;

use super::receiver::{Receiver, Reply};
use super::*;
use crate::otlp::config::ClientIdentity;
use crate::otlp::{OtlpError, TlsError};

/// An authority, and what it has signed.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).unwrap(),
        }
    }

    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        self.sign_until(name, 4096)
    }

    /// Valid until the beginning of a year.
    fn sign_until(&self, name: &str, year: i32) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A server for 127.0.0.1; `clients` says whose certificates it asks for.
    fn server(&self, clients: Option<&Self>, alpn: &[u8]) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.issuer.der().clone()).unwrap();
                builder.with_client_cert_verifier(
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .unwrap(),
                )
            }
        };
        let (certificate, key) = self.sign("127.0.0.1");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = builder
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![alpn.to_vec()];
        config
    }

    /// A file with the authority's own certificate.
    fn file(&self, directory: &TempDir) -> PathBuf {
        write(directory, "ca.pem", &self.issuer.pem())
    }

    fn client(&self, directory: &TempDir) -> ClientIdentity {
        let (certificate, key) = self.sign("agent");
        ClientIdentity {
            certificate: write(directory, "client.pem", &certificate.pem()),
            key: write(directory, "client.key", &key.serialize_pem()),
        }
    }
}

fn write(directory: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn secure(protocol: Protocol, receiver: &Receiver, certificate: PathBuf) -> OtlpConfig {
    let address = receiver.address;
    let path = match protocol {
        Protocol::Grpc => "",
        Protocol::HttpProtobuf => "v1/traces",
    };
    OtlpConfig {
        endpoint: format!("https://{address}/{path}").parse().unwrap(),
        certificate: Some(certificate),
        retrying: Retrying {
            initial: 4 * FOREVER,
            max: 4 * FOREVER,
        },
        ..config(protocol, address)
    }
}

async fn export(config: OtlpConfig) -> (u64, Vec<(DropReason, u64)>) {
    let exporter = start(config);
    offer(&exporter, 2);
    exporter.shutdown(FOREVER).await;
    let books = books(&exporter);
    (books.exported, books.dropped)
}

const BOTH: [(Protocol, &[u8]); 2] = [
    (Protocol::HttpProtobuf, b"http/1.1"),
    (Protocol::Grpc, b"h2"),
];

#[tokio::test]
async fn a_collector_is_trusted_by_its_authority_only() {
    let directory = TempDir::new().unwrap();
    let (ours, theirs) = (Authority::new(), Authority::new());
    for (protocol, alpn) in BOTH {
        let grpc = protocol == Protocol::Grpc;
        let receiver = Receiver::tls(&[Reply::OK], ours.server(None, alpn), grpc).await;
        let config = secure(protocol, &receiver, ours.file(&directory));
        assert_eq!(export(config).await, (2, vec![]), "{protocol:?}");
        assert_eq!(receiver.spans(), [2]);

        let receiver = Receiver::tls(&[Reply::OK], theirs.server(None, alpn), grpc).await;
        let config = secure(protocol, &receiver, ours.file(&directory));
        let expected = (0, vec![(DropReason::Unavailable, 2)]);
        assert_eq!(export(config).await, expected, "{protocol:?}");
        assert_eq!(receiver.spans(), [0; 0]);
    }
}

#[tokio::test]
async fn a_collector_that_asks_who_is_there() {
    let directory = TempDir::new().unwrap();
    let authority = Authority::new();
    for (protocol, alpn) in BOTH {
        let server = authority.server(Some(&authority), alpn);
        let grpc = protocol == Protocol::Grpc;
        let receiver = Receiver::tls(&[Reply::OK], server, grpc).await;
        let anonymous = secure(protocol, &receiver, authority.file(&directory));
        let known = OtlpConfig {
            client_identity: Some(authority.client(&directory)),
            ..anonymous.clone()
        };
        let expected = (0, vec![(DropReason::Unavailable, 2)]);
        assert_eq!(export(anonymous).await, expected, "{protocol:?}");
        assert_eq!(export(known).await, (2, vec![]), "{protocol:?}");
        assert_eq!(receiver.spans(), [2]);
    }
}

#[tokio::test]
async fn files_that_cannot_be_used() {
    let directory = TempDir::new().unwrap();
    let authority = Authority::new();
    let receiver = Receiver::http(&[Reply::OK]).await;
    let ca = authority.file(&directory);
    let identity = authority.client(&directory);
    let other = KeyPair::generate().unwrap().serialize_pem();
    let other = write(&directory, "other.key", &other);
    let empty = write(&directory, "empty.pem", "");
    let broken = "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n";
    let broken = write(&directory, "broken.pem", broken);
    let absent = directory.path().join("absent.pem");

    for (protocol, _) in BOTH {
        let good = secure(protocol, &receiver, ca.clone());
        let roots = |path: &Path| OtlpConfig {
            certificate: Some(path.to_owned()),
            ..good.clone()
        };
        let client = |certificate: &Path, key: &Path| OtlpConfig {
            client_identity: Some(ClientIdentity {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
            }),
            ..good.clone()
        };
        let cases = [
            (roots(&absent), "absent.pem", "CERTIFICATE"),
            (roots(&empty), "empty.pem", "CERTIFICATE"),
            (roots(&broken), "broken.pem", "CERTIFICATE"),
            (
                client(&empty, &identity.key),
                "empty.pem",
                "CLIENT_CERTIFICATE",
            ),
            (client(&identity.certificate, &ca), "ca.pem", "CLIENT_KEY"),
            (
                client(&identity.certificate, &absent),
                "absent.pem",
                "CLIENT_KEY",
            ),
        ];
        for (config, file, named) in cases {
            let error = Exporter::start(config, &Handle::current()).unwrap_err();
            let (path, by) = match &error {
                OtlpError::Tls(
                    TlsError::Read { path, variable, .. }
                    | TlsError::Content { path, variable, .. },
                ) => (path, *variable),
                other => panic!("{other}"),
            };
            assert_eq!(
                (path.as_path(), by),
                (directory.path().join(file).as_path(), named)
            );
            let sentence = error.to_string();
            assert!(
                sentence.starts_with("OTLP cannot be exported: "),
                "{sentence}"
            );
            assert!(
                sentence.ends_with(&format!("OTEL_EXPORTER_OTLP_{named}")),
                "{sentence}"
            );
        }
        let mismatch = client(&identity.certificate, &other);
        let error = Exporter::start(mismatch, &Handle::current()).unwrap_err();
        assert!(
            matches!(error, OtlpError::Tls(TlsError::Identity(_))),
            "{error}"
        );
        // Nobody reads certificates for an endpoint without TLS.
        let mut plain = roots(&absent);
        plain.endpoint = "http://127.0.0.1:1/".parse().unwrap();
        assert!(Exporter::start(plain, &Handle::current()).is_ok());
    }
}

/// Shows whichever certificate is in it.
#[derive(Debug)]
struct Shown(std::sync::Mutex<Arc<rustls::sign::CertifiedKey>>);

impl rustls::server::ResolvesServerCert for Shown {
    fn resolve(
        &self,
        _: rustls::server::ClientHello<'_>,
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0.lock().unwrap()))
    }
}

impl Authority {
    fn certified_until(&self, year: i32) -> Arc<rustls::sign::CertifiedKey> {
        let (certificate, key) = self.sign_until("127.0.0.1", year);
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
        let chain = vec![certificate.der().clone()];
        Arc::new(rustls::sign::CertifiedKey::new(chain, key))
    }
}

/// The collector's certificate runs out, and is renewed: what could not be delivered meanwhile is
/// counted, and nothing else is lost.
#[tokio::test]
async fn a_certificate_that_expires() {
    let directory = TempDir::new().unwrap();
    let authority = Authority::new();
    let shown = Arc::new(Shown(std::sync::Mutex::new(
        authority.certified_until(4096),
    )));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&shown) as Arc<dyn rustls::server::ResolvesServerCert>);
    // A session that is resumed asks for no certificate.
    server.send_tls13_tickets = 0;
    // Each batch on a connection of its own.
    let taken = Reply::Http {
        status: 200,
        headers: vec![("connection", "close".to_owned())],
        body: vec![],
    };
    let receiver = Receiver::tls(&[taken], server, false).await;
    let mut config = secure(
        Protocol::HttpProtobuf,
        &receiver,
        authority.file(&directory),
    );
    config.batching.max_export_batch_size = 2;
    let exporter = start(config);
    let done = async |batches: u64| {
        while exporter.offered() - exporter.queued() < 2 * batches {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    for (batches, year) in [(1, 4096), (2, 2020), (3, 4096)] {
        *shown.0.lock().unwrap() = authority.certified_until(year);
        offer(&exporter, 2);
        done(batches).await;
    }
    assert_eq!(receiver.spans(), [2, 2]);
    let expected = Books {
        offered: 6,
        exported: 4,
        queued: 0,
        retries: 0,
        dropped: vec![(DropReason::Unavailable, 2)],
    };
    assert_eq!(books(&exporter), expected);
}

/// The agent's own certificate is replaced, as machines do it: no restart, no span lost.
#[tokio::test]
async fn a_client_certificate_that_is_renewed() {
    let directory = TempDir::new().unwrap();
    let (authority, before) = (Authority::new(), Authority::new());
    for (protocol, alpn) in BOTH {
        let server = authority.server(Some(&authority), alpn);
        let grpc = protocol == Protocol::Grpc;
        let receiver = Receiver::tls(&[Reply::OK], server, grpc).await;
        let config = OtlpConfig {
            client_identity: Some(before.client(&directory)),
            retrying: Retrying {
                initial: Duration::from_millis(1),
                max: Duration::from_millis(20),
            },
            ..secure(protocol, &receiver, authority.file(&directory))
        };
        let mut config = config;
        config.batching.max_export_batch_size = 2;
        let exporter = start(config);
        offer(&exporter, 2);
        while exporter.retries() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(receiver.spans(), [0; 0], "{protocol:?}");
        authority.client(&directory);
        exporter.shutdown(FOREVER).await;
        assert_eq!(receiver.spans(), [2], "{protocol:?}");
        let books = books(&exporter);
        assert_eq!((books.exported, books.dropped), (2, vec![]), "{protocol:?}");
    }
}
