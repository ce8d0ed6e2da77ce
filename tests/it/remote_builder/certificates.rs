//! Certificates of a daemon and of its clients, made by openssl.

use std::path::Path;
use std::process::Command;

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

/// In a directory: `ca.pem`; `server.pem` for 127.0.0.1 and builder.example, `client.pem`, `expired.pem` signed by it;
/// `foreign-ca.pem` and `foreign.pem` signed by that one. The keys beside them.
pub(super) fn make(directory: &Path) {
    std::fs::create_dir_all(directory).unwrap();
    std::fs::write(directory.join("names"), "subjectAltName=IP:127.0.0.1,DNS:builder.example\n").unwrap();
    std::fs::write(directory.join("client"), "extendedKeyUsage=clientAuth\n").unwrap();
    let authority = |name: &str| format!("req -x509 {KEY} -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name}");
    openssl(directory, &authority("ca"));
    openssl(directory, &authority("foreign-ca"));
    for (name, authority, extensions, days) in [
        ("server", "ca", "names", 2),
        ("client", "ca", "client", 2),
        ("expired", "ca", "client", -1),
        ("foreign", "foreign-ca", "client", 2),
    ] {
        openssl(directory, &format!("req {KEY} -keyout {name}.key -out request.pem -subj /CN={name}"));
        openssl(
            directory,
            &format!(
                "x509 -req -in request.pem -CA {authority}.pem -CAkey {authority}.key -CAcreateserial -out {name}.pem \
                 -days {days} -extfile {extensions}"
            ),
        );
    }
}

fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split_whitespace()).current_dir(directory).output();
    let output = output.expect("these tests need openssl");
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}
