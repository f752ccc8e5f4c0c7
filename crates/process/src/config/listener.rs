//! Which listeners trust who reaches them (design section 3).

use std::net::SocketAddr;

/// How a listener treats a caller without credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    /// The legacy development rules: whoever reaches it is a user.
    Open,
    /// Credentials on everything that is not public; nothing fails open.
    Enforced,
}

/// What decides whether a listener may be open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exposure {
    /// An admin token is set: somebody means to be asked for it.
    pub has_admin_token: bool,
    /// `MOLECULE_ENV` is `production`.
    pub production: bool,
    /// `--insecure-open`.
    pub insecure_open: bool,
}

impl Exposure {
    /// Open on loopback without an admin token outside production, or where the
    /// operator insists; else enforced.
    #[must_use]
    pub fn mode(self, address: SocketAddr) -> AuthMode {
        let harmless =
            address.ip().to_canonical().is_loopback() && !self.has_admin_token && !self.production;
        if harmless {
            return AuthMode::Open;
        }
        if self.insecure_open {
            tracing::warn!(
                %address,
                "INSECURE: --insecure-open lets anybody who reaches this listener act as its user"
            );
            return AuthMode::Open;
        }
        AuthMode::Enforced
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const SAFE: Exposure = Exposure {
        has_admin_token: false,
        production: false,
        insecure_open: false,
    };

    fn mode(exposure: Exposure, address: &str) -> AuthMode {
        exposure.mode(address.parse().unwrap())
    }

    #[test]
    fn open_only_on_loopback_without_token_outside_production() {
        for address in [
            "127.0.0.1:8080",
            "127.8.9.1:1",
            "[::1]:8080",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert_eq!(mode(SAFE, address), AuthMode::Open, "{address}");
            assert_eq!(
                mode(
                    Exposure {
                        has_admin_token: true,
                        ..SAFE
                    },
                    address
                ),
                AuthMode::Enforced
            );
            assert_eq!(
                mode(
                    Exposure {
                        production: true,
                        ..SAFE
                    },
                    address
                ),
                AuthMode::Enforced
            );
        }
        for address in [
            "0.0.0.0:8080",
            "[::]:8080",
            "10.0.0.1:8080",
            "172.17.0.1:80",
        ] {
            assert_eq!(mode(SAFE, address), AuthMode::Enforced, "{address}");
        }
    }

    #[test]
    fn the_operator_may_insist() {
        let insists = Exposure {
            has_admin_token: true,
            production: true,
            insecure_open: true,
        };
        assert_eq!(mode(insists, "0.0.0.0:8080"), AuthMode::Open);
    }
}
