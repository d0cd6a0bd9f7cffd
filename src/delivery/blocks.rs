//! Lists the blocks of addresses that are closed, from the registries that
//! [`egress`](super::egress) names.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The class of an address that may not be dialled.
///
/// It prints as the name of the class alone, without the address, so it can be shown to the owner
/// of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Blocked {
    /// `0.0.0.0` and `::`. On many systems a connection to them reaches the machine itself.
    #[error("unspecified")]
    Unspecified,
    /// This machine (RFC 1122, section 3.2.1.3; RFC 4291, section 2.5.3).
    #[error("loopback")]
    Loopback,
    /// A private network (RFC 1918; RFC 4193).
    #[error("private")]
    Private,
    /// The network between a provider and its customers' routers (RFC 6598).
    #[error("shared address space")]
    Shared,
    /// A single link (RFC 3927; RFC 4291, section 2.5.6). Most clouds' metadata services are here.
    #[error("link-local")]
    LinkLocal,
    /// A cloud's service for its own machines, with an address outside the link-local blocks.
    #[error("cloud metadata")]
    Metadata,
    /// Groups of machines (RFC 5771; RFC 4291, section 2.7).
    #[error("multicast")]
    Multicast,
    /// All machines on a link (RFC 919).
    #[error("broadcast")]
    Broadcast,
    /// Examples in documentation (RFC 5737; RFC 3849; RFC 9637).
    #[error("documentation")]
    Documentation,
    /// Measurements in laboratories (RFC 2544; RFC 5180).
    #[error("benchmarking")]
    Benchmarking,
    /// IPv6 addresses that tunnel or translate to IPv4 in a way that is deprecated or has only
    /// local meaning.
    #[error("transition")]
    Transition,
    /// Reserved for protocols of the IETF, or not assigned yet.
    #[error("reserved")]
    Reserved,
}

/// The closed IPv4 blocks. The first block that holds an address determines its class, so narrow
/// blocks come first.
///
/// 192.31.196.0/24, 192.52.193.0/24 and 192.175.48.0/24 are not in the table, because the registry
/// lists them as globally reachable.
const V4: [(Ipv4Addr, u32, Blocked); 19] = [
    (Ipv4Addr::UNSPECIFIED, 32, Blocked::Unspecified),
    (Ipv4Addr::BROADCAST, 32, Blocked::Broadcast),
    // The metadata service of Alibaba Cloud and the platform service of Azure, whose address looks
    // public.
    (Ipv4Addr::new(100, 100, 100, 200), 32, Blocked::Metadata),
    (Ipv4Addr::new(168, 63, 129, 16), 32, Blocked::Metadata),
    // "This network" (RFC 791, section 3.2).
    (Ipv4Addr::UNSPECIFIED, 8, Blocked::Reserved),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Blocked::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Blocked::Shared),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Blocked::Loopback),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Blocked::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Blocked::Private),
    // IETF protocol assignments (RFC 6890, section 2.1).
    (Ipv4Addr::new(192, 0, 0, 0), 24, Blocked::Reserved),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Blocked::Documentation),
    // The relays of 6to4, which are deprecated (RFC 7526).
    (Ipv4Addr::new(192, 88, 99, 0), 24, Blocked::Transition),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Blocked::Private),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Blocked::Benchmarking),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Blocked::Documentation),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Blocked::Documentation),
    (Ipv4Addr::new(224, 0, 0, 0), 4, Blocked::Multicast),
    // Reserved for the future since 1989 (RFC 1112, section 4).
    (Ipv4Addr::new(240, 0, 0, 0), 4, Blocked::Reserved),
];

/// The closed IPv6 blocks within global unicast, and the classes of blocks outside it, which are
/// closed anyway. The first block that holds an address determines its class, so narrow blocks come
/// first.
const V6: [(Ipv6Addr, u32, Blocked); 16] = [
    (Ipv6Addr::UNSPECIFIED, 128, Blocked::Unspecified),
    (Ipv6Addr::LOCALHOST, 128, Blocked::Loopback),
    // IPv4-compatible, deprecated (RFC 4291, section 2.5.5.1).
    (Ipv6Addr::UNSPECIFIED, 96, Blocked::Transition),
    // IPv4-translated addresses, from an obsolete version of SIIT (RFC 2765, section 2.1).
    (v6([0, 0, 0, 0, 0xffff, 0]), 96, Blocked::Transition),
    // NAT64 with local meaning: the operator chooses where the IPv4 address stands in it (RFC
    // 8215).
    (v6([0x64, 0xff9b, 1, 0, 0, 0]), 48, Blocked::Transition),
    // Teredo (RFC 4380).
    (v6([0x2001, 0, 0, 0, 0, 0]), 32, Blocked::Transition),
    (v6([0x2001, 2, 0, 0, 0, 0]), 48, Blocked::Benchmarking),
    // IETF protocol assignments (RFC 2928).
    (v6([0x2001, 0, 0, 0, 0, 0]), 23, Blocked::Reserved),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0]), 32, Blocked::Documentation),
    // 6to4 (RFC 3056). Its relays no longer exist (RFC 7526).
    (v6([0x2002, 0, 0, 0, 0, 0]), 16, Blocked::Transition),
    (v6([0x3fff, 0, 0, 0, 0, 0]), 20, Blocked::Documentation),
    // The services of Amazon, Google and Scaleway for their machines. They lie among the unique
    // local addresses.
    (v6([0xfd00, 0xec2, 0, 0, 0, 0]), 32, Blocked::Metadata),
    (
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
        128,
        Blocked::Metadata,
    ),
    (
        Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
        128,
        Blocked::Metadata,
    ),
    (v6([0xfe80, 0, 0, 0, 0, 0]), 10, Blocked::LinkLocal),
    (v6([0xff00, 0, 0, 0, 0, 0]), 8, Blocked::Multicast),
];

/// Unique local addresses (RFC 4193). They are not in the table because `--dev` opens them:
/// narrower blocks must be checked first.
const UNIQUE_LOCAL: (Ipv6Addr, u32) = (v6([0xfc00, 0, 0, 0, 0, 0]), 7);

/// IANA's only block of global unicast addresses (RFC 4291, section 2.4).
const GLOBAL_UNICAST: (Ipv6Addr, u32) = (v6([0x2000, 0, 0, 0, 0, 0]), 3);

/// Returns the network whose first 96 bits are `s`.
const fn v6(s: [u16; 6]) -> Ipv6Addr {
    Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], 0, 0)
}

/// Returns the class of a closed IPv4 address, or `None` for a public one.
pub(super) fn class_of_v4(address: Ipv4Addr) -> Option<Blocked> {
    V4.iter()
        .find(|(network, length, _)| {
            (address.to_bits() ^ network.to_bits()).leading_zeros() >= *length
        })
        .map(|(_, _, class)| *class)
}

/// Returns the class of a closed IPv6 address, or `None` for a public one.
pub(super) fn class_of_v6(address: Ipv6Addr) -> Option<Blocked> {
    if let Some(v4) = carried(address) {
        return class_of_v4(v4);
    }
    let within = |(network, length): (Ipv6Addr, u32)| {
        (address.to_bits() ^ network.to_bits()).leading_zeros() >= length
    };
    if let Some((_, _, class)) = V6.iter().find(|(net, length, _)| within((*net, *length))) {
        Some(*class)
    } else if is_isatap(address) {
        Some(Blocked::Transition)
    } else if within(UNIQUE_LOCAL) {
        Some(Blocked::Private)
    } else if within(GLOBAL_UNICAST) {
        None
    } else {
        Some(Blocked::Reserved)
    }
}

/// Returns the IPv4 address that a connection to `address` reaches: from an IPv4-mapped address in
/// `::ffff:0:0/96` (RFC 4291, section 2.5.5.2), or from NAT64's well-known prefix `64:ff9b::/96`
/// (RFC 6052, section 2.1).
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => None,
    }
}

/// Whether the interface identifier is one of ISATAP, which tunnels to the IPv4 address in it under
/// any prefix (RFC 5214, section 6.1).
fn is_isatap(address: Ipv6Addr) -> bool {
    let [_, _, _, _, flags, marker, _, _] = address.segments();
    flags & 0xfdff == 0 && marker == 0x5efe
}
