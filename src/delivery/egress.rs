//! Decides which addresses deliveries may be sent to.
//!
//! A caller who may create an endpoint chooses where this server connects. Without a guard the
//! server would connect to everything behind its firewall on behalf of that caller: databases,
//! consoles, and the metadata service that hands out the credentials of a cloud machine.
//!
//! Rules:
//!
//! 1. **The address decides, not the name or the URL.** The connector checks each address
//!    immediately before it dials that same address. So a name that resolves differently between
//!    the check and its use ("rebinding") gains nothing, and the spelling of an address does not
//!    matter.
//! 2. **IPv4 is open unless listed. IPv6 is closed unless it is in `2000::/3`**, the one block that
//!    IANA has opened for global unicast. A special-purpose block that IANA assigns later is closed
//!    automatically, unless it lies within `2000::/3`.
//! 3. **An IPv4 address inside an IPv6 address is treated like that IPv4 address** if networks
//!    still carry it: IPv4-mapped addresses and the well-known NAT64 prefix, which gives a host
//!    that has only IPv6 access to the IPv4 internet. The other embeddings are closed entirely
//!    ([`Blocked::Transition`]): all of them are deprecated or for local use, and no receiver needs
//!    them.
//!
//! The sources are IANA's IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 with its
//! updates), IANA's registries of multicast addresses and of the IPv6 address space, and the
//! documents of cloud providers about their metadata services. Where a registry assigns a globally
//! reachable part of a closed block (such as `192.0.0.9` or `2001:20::/28`), the whole block stays
//! closed: these parts are for protocols, not for web servers.
//!
//! No list of addresses can cover a NAT64 with a prefix that its operator chose, or an internal
//! network that uses public addresses. Such networks need a firewall around this server.
//!
//! This is not a library, because the few libraries that know the registries disagree with each
//! other and with rule 3 on IPv6 embeddings, and the code is little more than the two tables in
//! `blocks.rs`.

use std::net::IpAddr;

use super::blocks::{self, Blocked};

/// Decides which addresses may be dialled. Copying it is cheap.
///
/// ```
/// use hookturn::delivery::{Blocked, EgressGuard};
///
/// let guard = EgressGuard::public_only();
/// assert_eq!(guard.check("8.8.8.8".parse()?), Ok(()));
/// assert_eq!(guard.check("::ffff:10.0.0.1".parse()?), Err(Blocked::Private));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgressGuard {
    local: bool,
}

impl EgressGuard {
    /// Creates a guard that permits only public unicast addresses. Use it where others can create
    /// endpoints.
    #[must_use]
    pub const fn public_only() -> Self {
        Self { local: false }
    }

    /// Creates a guard that also permits loopback, private networks and the shared address space
    /// (RFC 6598, where overlay networks live). It is for `--dev`. All other addresses stay closed,
    /// above all the metadata services.
    #[must_use]
    pub const fn with_local() -> Self {
        Self { local: true }
    }

    /// Checks whether `address` may be dialled.
    ///
    /// # Errors
    ///
    /// Returns the class of an address that may not be dialled.
    pub fn check(&self, address: IpAddr) -> Result<(), Blocked> {
        let class = match address {
            IpAddr::V4(v4) => blocks::class_of_v4(v4),
            IpAddr::V6(v6) => blocks::class_of_v6(v6),
        };
        match class {
            None => Ok(()),
            Some(Blocked::Loopback | Blocked::Private | Blocked::Shared) if self.local => Ok(()),
            Some(blocked) => Err(blocked),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    /// The closed blocks, written independently of the tables, and whether `--dev` opens them.
    const CLOSED: [(&str, u32, bool); 55] = [
        ("0.0.0.0", 8, false),
        ("10.0.0.0", 8, true),
        ("100.100.100.200", 32, false),
        ("127.0.0.0", 8, true),
        ("168.63.129.16", 32, false),
        ("169.254.0.0", 16, false),
        ("172.16.0.0", 12, true),
        ("192.0.0.0", 24, false),
        ("192.0.2.0", 24, false),
        ("192.88.99.0", 24, false),
        ("192.168.0.0", 16, true),
        ("198.18.0.0", 15, false),
        ("198.51.100.0", 24, false),
        ("203.0.113.0", 24, false),
        ("224.0.0.0", 4, false),
        ("240.0.0.0", 4, false),
        ("255.255.255.255", 32, false),
        // The shared address space, without the one address in it that stays closed.
        ("100.64.0.0", 11, true),
        ("100.96.0.0", 14, true),
        ("100.100.0.0", 18, true),
        ("100.101.0.0", 16, true),
        ("100.112.0.0", 12, true),
        ("::", 128, false),
        ("::1", 128, true),
        ("::2", 127, false),
        ("::8.0.0.0", 101, false),
        ("::ffff:0:0:0", 96, false),
        ("64:ff9b:1::", 48, false),
        ("64:ff9b:2::", 47, false),
        ("100::", 64, false),
        ("100:0:0:1::", 64, false),
        ("200::", 7, false),
        ("400::", 6, false),
        ("800::", 5, false),
        ("1000::", 4, false),
        ("2001::", 23, false),
        ("2001:db8::", 32, false),
        ("2002::", 16, false),
        ("3fff::", 20, false),
        ("4000::", 2, false),
        ("5f00::", 16, false),
        ("8000::", 2, false),
        ("c000::", 3, false),
        ("e000::", 4, false),
        ("f000::", 5, false),
        ("f800::", 6, false),
        ("fc00::", 8, true),
        ("fd00:ec2::", 32, false),
        ("fd00:42::42", 128, false),
        ("fd20:ce::254", 128, false),
        ("fd80::", 9, true),
        ("fe00::", 9, false),
        ("fe80::", 10, false),
        ("fec0::", 10, false),
        ("ff00::", 8, false),
    ];

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn check(text: &str) -> (Result<(), Blocked>, Result<(), Blocked>) {
        (
            EgressGuard::public_only().check(ip(text)),
            EgressGuard::with_local().check(ip(text)),
        )
    }

    /// Returns the address in `network` that has the host bits of `random`.
    fn within(network: IpAddr, length: u32, random: u128) -> IpAddr {
        match network {
            IpAddr::V4(v4) => {
                let host = u32::MAX.checked_shr(length).unwrap_or(0);
                let low = u32::try_from(random >> 96).expect("32 bits are left");
                Ipv4Addr::from_bits(v4.to_bits() | (low & host)).into()
            }
            IpAddr::V6(v6) => {
                let host = u128::MAX.checked_shr(length).unwrap_or(0);
                Ipv6Addr::from_bits(v6.to_bits() | (random & host)).into()
            }
        }
    }

    #[test]
    fn the_ends_of_every_closed_block_are_closed() {
        for (network, length, local) in CLOSED {
            for bits in [0, u128::MAX] {
                let address = within(ip(network), length, bits);
                let public = EgressGuard::public_only().check(address);
                assert!(public.is_err(), "{address} of {network}/{length}");
                let dev = EgressGuard::with_local().check(address);
                assert_eq!(dev.is_ok(), local, "{address} of {network}/{length}");
            }
        }
    }

    #[test]
    fn the_neighbours_of_closed_blocks_are_open() {
        for open in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.255",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::",
            "2001:200::",
            "2001:db7:ffff::",
            "2001:db9::",
            "2001:4860:4860::8888",
            "2003::",
            "3ffe:ffff::",
            "3fff:1000::",
        ] {
            assert_eq!(check(open), (Ok(()), Ok(())), "{open}");
        }
    }

    #[test]
    fn a_closed_address_is_reported_by_its_class() {
        for (address, class, text) in [
            ("0.0.0.0", Blocked::Unspecified, "unspecified"),
            ("0.1.2.3", Blocked::Reserved, "reserved"),
            ("127.0.0.1", Blocked::Loopback, "loopback"),
            ("::1", Blocked::Loopback, "loopback"),
            ("::ffff:127.0.0.1", Blocked::Loopback, "loopback"),
            ("::127.0.0.1", Blocked::Transition, "transition"),
            ("10.1.2.3", Blocked::Private, "private"),
            ("fd12::1", Blocked::Private, "private"),
            ("100.64.0.1", Blocked::Shared, "shared address space"),
            ("169.254.169.254", Blocked::LinkLocal, "link-local"),
            ("64:ff9b::a9fe:a9fe", Blocked::LinkLocal, "link-local"),
            ("fe80::1", Blocked::LinkLocal, "link-local"),
            ("168.63.129.16", Blocked::Metadata, "cloud metadata"),
            ("fd00:ec2::254", Blocked::Metadata, "cloud metadata"),
            ("fd20:ce::254", Blocked::Metadata, "cloud metadata"),
            ("224.0.0.1", Blocked::Multicast, "multicast"),
            ("ff02::1", Blocked::Multicast, "multicast"),
            ("255.255.255.255", Blocked::Broadcast, "broadcast"),
            ("192.0.2.1", Blocked::Documentation, "documentation"),
            ("3fff::1", Blocked::Documentation, "documentation"),
            ("198.18.0.1", Blocked::Benchmarking, "benchmarking"),
            ("2001:2::1", Blocked::Benchmarking, "benchmarking"),
            ("2002:808:808::1", Blocked::Transition, "transition"),
            ("2001::1", Blocked::Transition, "transition"),
            ("240.0.0.1", Blocked::Reserved, "reserved"),
            ("fec0::1", Blocked::Reserved, "reserved"),
            ("5f00::1", Blocked::Reserved, "reserved"),
        ] {
            assert_eq!(check(address).0, Err(class), "{address}");
            assert_eq!(class.to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn no_address_of_a_closed_block_is_open(
            block in prop::sample::select(&CLOSED),
            random: u128,
        ) {
            let (network, length, local) = block;
            let address = within(ip(network), length, random);
            prop_assert!(EgressGuard::public_only().check(address).is_err());
            // A block that `--dev` opens can hold closed addresses, but not the other way round.
            prop_assert!(local || EgressGuard::with_local().check(address).is_err());
        }

        #[test]
        fn a_carried_ipv4_address_is_decided_like_itself(bits: u32, local: bool) {
            let guard = if local { EgressGuard::with_local() } else { EgressGuard::public_only() };
            let v4 = Ipv4Addr::from_bits(bits);
            let itself = guard.check(v4.into());
            prop_assert_eq!(guard.check(v4.to_ipv6_mapped().into()), itself);
            let nat64 = 0x64_ff9b_u128 << 96 | u128::from(bits);
            prop_assert_eq!(guard.check(Ipv6Addr::from_bits(nat64).into()), itself);
        }

        #[test]
        fn every_other_embedding_is_closed_whatever_it_holds(
            bits: u32,
            random: u128,
            local: bool,
        ) {
            let guard = if local { EgressGuard::with_local() } else { EgressGuard::public_only() };
            let v4 = u128::from(bits);
            let prefix = random << 64;
            for (form, address) in [
                // All of ::/96 except its loopback address, which embeds no IPv4 address.
                ("IPv4-compatible", if v4 == 1 { 0 } else { v4 }),
                ("IPv4-translated", 0xffff_u128 << 48 | v4),
                ("local NAT64", 0x64_ff9b_0001_u128 << 80 | v4),
                ("6to4", 0x2002_u128 << 112 | v4 << 80 | random >> 48),
                ("Teredo server", 0x2001_u128 << 112 | v4 << 64 | random >> 64),
                // RFC 4380, section 4: the client's address has its bits inverted.
                ("Teredo client", 0x2001_u128 << 112 | u128::from(!bits)),
                ("ISATAP", prefix | 0x5efe_u128 << 32 | v4),
                ("ISATAP, universal", prefix | 0x0200_5efe_u128 << 32 | v4),
            ] {
                let address = Ipv6Addr::from_bits(address);
                prop_assert!(guard.check(address.into()).is_err(), "{} {}", form, address);
            }
        }

        #[test]
        fn what_is_public_is_open_to_both_guards(random: u128) {
            for address in [
                IpAddr::from(Ipv6Addr::from_bits(random)),
                within(Ipv4Addr::UNSPECIFIED.into(), 0, random),
            ] {
                if EgressGuard::public_only().check(address).is_ok() {
                    prop_assert!(EgressGuard::with_local().check(address).is_ok());
                }
            }
        }
    }
}
