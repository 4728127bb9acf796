//! What both SQL engines need of TLS.

use std::io;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use ticketd_core::failure::FailureKind;

use crate::error::StoreError;

/// The authorities in `file`, which the option `option` names.
///
/// # Errors
/// `Invalid` if it has none.
pub fn roots(option: &str, file: &Path) -> Result<RootCertStore, StoreError> {
    let invalid = |what: &str| {
        let message = format!("the file of {option} {what}: {}", file.display());
        StoreError::new(FailureKind::Invalid, message)
    };
    let certificates = CertificateDer::pem_file_iter(file)
        .map_err(|_| invalid("cannot be read"))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| invalid("is not PEM"))?;
    let mut roots = RootCertStore::empty();
    // A bundle may have some that are of no use.
    let (added, _ignored) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(invalid("holds no certificate"));
    }
    Ok(roots)
}

/// The failure of TLS that `error` was made of, if it was.
pub fn cause(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}
