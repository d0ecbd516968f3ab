//! Finds the process that listens on an address, by the tables of /proc (proc(5)).

use crate::files::parent_directory;
use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Unit of the package with which systemd, as root, opens the port for the daemon.
const SOCKET_UNIT: &str = "/usr/lib/systemd/system/novex-ingest.socket";
/// User id of root in the sandbox of the service, which has a user namespace (`user_namespaces(7)`).
const UNMAPPED_UID: u32 = 65534;
/// Name of the daemon's process.
const DAEMON_NAME: &str = "novex-ingest";
/// State of a listening socket in /proc/net/tcp.
const LISTEN_STATE: &str = "0A";

/// Program that listens on an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PortHolder {
    /// The daemon of this database, or the socket unit that opens the port for it.
    OwnService,
    Stranger {
        name: String,
        pid: u32,
    },
    /// A process that this user cannot see.
    Invisible,
}

/// Returns the holder of an address on which a process listens, or None if none listens.
pub(crate) fn find_port_holder(address: SocketAddr, database: &Path) -> Option<PortHolder> {
    let sockets: Vec<ListeningSocket> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .flat_map(|table| parse_listening_sockets(&fs::read_to_string(table).unwrap_or_default()))
        .filter(|socket| socket.is_in_the_way_of(address))
        .collect();
    let socket = sockets.first()?;
    let inodes: BTreeSet<u64> = sockets.iter().map(|socket| socket.inode).collect();
    let links: BTreeSet<PathBuf> = inodes.iter().map(|inode| format!("socket:[{inode}]").into()).collect();
    let holders = find_processes(|target| links.contains(target));
    let has_socket_unit = fs::symlink_metadata(SOCKET_UNIT).is_ok();
    let database_users: Vec<u32> = find_database_users(database).into_iter().map(|(pid, _)| pid).collect();
    // The daemon of another database is a stranger.
    let is_own = |(pid, name): &(u32, String)| {
        (name == DAEMON_NAME && database_users.contains(pid)) || (*pid == 1 && has_socket_unit)
    };
    if holders.iter().any(is_own) {
        return Some(PortHolder::OwnService);
    }
    if let Some((pid, name)) = holders.into_iter().next() {
        return Some(PortHolder::Stranger { name, pid });
    }
    // Another user's process is invisible, but its socket shows the user.
    let service_user = fs::metadata(parent_directory(database)).map(|data| data.uid()).ok();
    let is_of_root = matches!(socket.uid, 0 | UNMAPPED_UID);
    let is_own = if is_of_root { has_socket_unit } else { service_user == Some(socket.uid) };
    Some(if is_own { PortHolder::OwnService } else { PortHolder::Invisible })
}

/// Socket of /proc/net/tcp that accepts connections.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ListeningSocket {
    address: SocketAddr,
    uid: u32,
    inode: u64,
}

impl ListeningSocket {
    /// Returns true if no other socket can listen on `address`.
    fn is_in_the_way_of(&self, address: SocketAddr) -> bool {
        self.address.port() == address.port()
            && (self.address.ip() == address.ip()
                || self.address.ip().is_unspecified()
                || address.ip().is_unspecified())
    }
}

fn parse_listening_sockets(table: &str) -> Vec<ListeningSocket> {
    table.lines().skip(1).filter_map(parse_listening_socket).collect()
}

/// Parses a line such as `0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000  0 12345 …`.
fn parse_listening_socket(line: &str) -> Option<ListeningSocket> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (address, state, uid, inode) = (fields.get(1)?, fields.get(3)?, fields.get(7)?, fields.get(9)?);
    if *state != LISTEN_STATE {
        return None;
    }
    let (ip, port) = address.split_once(':')?;
    let address = SocketAddr::new(parse_proc_ip(ip)?, u16::from_str_radix(port, 16).ok()?);
    Some(ListeningSocket { address, uid: uid.parse().ok()?, inode: inode.parse().ok()? })
}

/// Parses an address: 32-bit words in hexadecimal, each in the byte order of the machine.
fn parse_proc_ip(text: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match text.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let bytes: Vec<u8> = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            let ip = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
            Some(ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4))
        }
        _ => None,
    }
}

/// Returns pid and name of the processes that have the database open. Only root sees all of them.
pub(crate) fn find_database_users(database: &Path) -> Vec<(u32, String)> {
    fs::canonicalize(database).map_or_else(|_| Vec::new(), |database| find_processes(|target| target == database))
}

/// Returns pid and name of the visible processes with an open file that is wanted.
fn find_processes(is_wanted: impl Fn(&Path) -> bool) -> Vec<(u32, String)> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|target| is_wanted(&target))
    })
    .map(|pid| (pid, fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()))
    .collect()
}

impl PortHolder {
    /// Returns the program for a message, such as `nginx (process 17)`.
    pub(crate) fn describe_program(&self) -> String {
        match self {
            Self::OwnService => "the daemon of this database, or its socket unit".to_owned(),
            Self::Stranger { name, pid } if name == DAEMON_NAME => {
                format!("the novex-ingest of another database (process {pid})")
            }
            Self::Stranger { name, pid } => format!("{name} (process {pid})"),
            Self::Invisible => "a program of another user, which `sudo ss -ltnp` shows".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn listening_sockets_are_parsed() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 77 1 0 100\n   \
                     1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 78 1 0 100\n   \
                     2: 00000000000000000000000000000000:20FB 00000000000000000000000000000000:0000 0A \
                     00000000:00000000 00:00000000 00000000     0        0 79 1 0\n   3: cut";
        let sockets = parse_listening_sockets(table);
        if cfg!(target_endian = "little") {
            assert_eq!(sockets[0].address, "127.0.0.1:8080".parse().unwrap());
        }
        assert_eq!((sockets.len(), sockets[0].uid, sockets[0].inode), (2, 1000, 77));
        assert_eq!(sockets[1].address, "[::]:8443".parse().unwrap());
        assert!(sockets[1].is_in_the_way_of("127.0.0.1:8443".parse().unwrap()));
        assert!(!sockets[0].is_in_the_way_of("127.0.0.2:8080".parse().unwrap()));
        assert!(!sockets[0].is_in_the_way_of("127.0.0.1:8081".parse().unwrap()));
    }

    #[test]
    fn holder_of_a_port_is_named() {
        let nowhere = Path::new("/nowhere/events.db");
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // A machine may have no IPv6.
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let holder = find_port_holder(listener.local_addr().unwrap(), nowhere);
            assert!(
                matches!(&holder, Some(PortHolder::Stranger { pid, .. }) if *pid == std::process::id()),
                "{holder:?}"
            );
        }
    }
}
