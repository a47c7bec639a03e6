//! The certificates of an `https` collector, from the files that the configuration names.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::config::OtlpConfig;

/// Why there can be no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read.
    #[error("{} cannot be read: {source}; it is named by OTEL_EXPORTER_OTLP_{variable}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Which variable names it, without its prefix.
        variable: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that holds something else.
    #[error(
        "{} holds no {expected} in PEM that can be used; it is named by OTEL_EXPORTER_OTLP_{variable}",
        path.display()
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// Which variable names it, without its prefix.
        variable: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// The certificates of the system cannot be used.
    #[error(
        "the system's certificates cannot be used: {0}; install them, or name a file in \
         OTEL_EXPORTER_OTLP_CERTIFICATE"
    )]
    System(std::io::Error),
    /// Certificate and key cannot be used together, or not at all.
    #[error("the client certificate and its key cannot be used: {0}")]
    Identity(rustls::Error),
    /// The cryptography does not offer what is needed.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// What the files held.
pub(super) struct Tls {
    /// Trusted in place of the system's.
    roots: Option<Vec<u8>>,
    /// Certificate chain and key.
    identity: Option<(Vec<u8>, Vec<u8>)>,
    /// Ready for use.
    config: ClientConfig,
}

impl Tls {
    /// Reads the files, and checks that what they hold can be used.
    pub(super) fn read(config: &OtlpConfig) -> Result<Self, TlsError> {
        let builder = builder()?;
        let (roots, builder) = match &config.certificate {
            None => (None, builder.with_native_roots().map_err(TlsError::System)?),
            Some(path) => {
                let pem = read(path, "CERTIFICATE")?;
                let mut store = RootCertStore::empty();
                for certificate in certificates(&pem, path, "CERTIFICATE")? {
                    store.add(certificate).map_err(|_| TlsError::Content {
                        path: path.clone(),
                        variable: "CERTIFICATE",
                        expected: "certificate of an authority",
                    })?;
                }
                (Some(pem), builder.with_root_certificates(store))
            }
        };
        let (identity, config) = match &config.client_identity {
            None => (None, builder.with_no_client_auth()),
            Some(files) => {
                let chain = read(&files.certificate, "CLIENT_CERTIFICATE")?;
                let key = read(&files.key, "CLIENT_KEY")?;
                let config = builder
                    .with_client_auth_cert(
                        certificates(&chain, &files.certificate, "CLIENT_CERTIFICATE")?,
                        PrivateKeyDer::from_pem_slice(&key).map_err(|_| TlsError::Content {
                            path: files.key.clone(),
                            variable: "CLIENT_KEY",
                            expected: "private key",
                        })?,
                    )
                    .map_err(TlsError::Identity)?;
                (Some((chain, key)), config)
            }
        };
        Ok(Self {
            roots,
            identity,
            config,
        })
    }

    /// For an endpoint that is plain `http`, whose connector wants a configuration all the same. It
    /// trusts nobody.
    pub(super) fn unused() -> Result<Self, TlsError> {
        let config = builder()?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        Ok(Self {
            roots: None,
            identity: None,
            config,
        })
    }

    /// For hyper.
    pub(super) fn rustls(self) -> ClientConfig {
        self.config
    }

    /// For tonic, which reads PEM by itself.
    pub(super) fn tonic(self) -> ClientTlsConfig {
        let tls = ClientTlsConfig::new();
        let tls = match self.roots {
            None => tls.with_native_roots(),
            Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
        };
        match self.identity {
            None => tls,
            Some((certificate, key)) => tls.identity(Identity::from_pem(certificate, key)),
        }
    }
}

/// The files that a configuration names, and how to tell that one was replaced.
pub(super) struct Files(Vec<(PathBuf, Option<Version>)>);

/// Inode, change time in s and ns, size: a file that is written or replaced has another.
type Version = (u64, i64, i64, u64);

impl Files {
    /// As they are now. None if the endpoint is plain `http`.
    pub(super) fn of(config: &OtlpConfig) -> Self {
        let mut paths = Vec::new();
        if config.endpoint.scheme_str() == Some("https") {
            paths.extend(config.certificate.clone());
            if let Some(identity) = &config.client_identity {
                paths.extend([identity.certificate.clone(), identity.key.clone()]);
            }
        }
        let versions = paths.into_iter().map(|path| {
            let version = version(&path);
            (path, version)
        });
        Self(versions.collect())
    }

    /// Whether one is not what it was at the last look.
    pub(super) fn have_changed(&mut self) -> bool {
        let mut changed = false;
        for (path, seen) in &mut self.0 {
            let present = version(path);
            changed |= present != *seen;
            *seen = present;
        }
        changed
    }
}

/// What the path leads to: secrets are mounted as links to a folder that is exchanged.
fn version(path: &Path) -> Option<Version> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.ino(), file.ctime(), file.ctime_nsec(), file.size()))
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, TlsError> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)
}

fn read(path: &Path, variable: &'static str) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        variable,
        source,
    })
}

/// All certificates of a file, at least one.
fn certificates(
    pem: &[u8],
    path: &Path,
    variable: &'static str,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| TlsError::Content {
            path: path.to_owned(),
            variable,
            expected: "certificate",
        })
}
