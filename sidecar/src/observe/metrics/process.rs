//! The process as the kernel sees it, under the names that Prometheus's own clients use.
//!
//! Read from `/proc/self` (proc(5)) at each scrape. What cannot be read is left out: no number is
//! better than a wrong one, and systems without `/proc` have none.

use std::{fmt, fs};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::family::{counter, gauge};

/// Ticks a second in `/proc`: `USER_HZ`, which is 100 on every architecture that Rust's Linux targets
/// of tier 1 and 2 name.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let read = |name: &str| fs::read_to_string(format!("/proc/{name}")).unwrap_or_default();
        let (stat, status) = (read("self/stat"), read("self/status"));
        if let Some(seconds) = start_seconds(&stat, &read("stat")) {
            let help = "When the process started, in seconds since 1970.";
            gauge(encoder, "process_start_time_seconds", help, seconds)?;
        }
        if let Some(seconds) = cpu_seconds(&stat) {
            let help = "Processor time used, user and system, in seconds.";
            counter(encoder, "process_cpu_seconds", help, seconds)?;
        }
        if let Some(kib) = status_field(&status, "VmRSS:") {
            let help = "Memory that is resident, in bytes.";
            gauge(encoder, "process_resident_memory_bytes", help, kib * 1024)?;
        }
        if let Some(threads) = status_field(&status, "Threads:") {
            gauge(encoder, "process_threads", "Threads that run.", threads)?;
        }
        // One of them is the folder that is being read.
        if let Some(open) =
            fs::read_dir("/proc/self/fd").ok().map(|all| all.count().saturating_sub(1))
        {
            gauge(encoder, "process_open_fds", "File descriptors that are open.", open)?;
        }
        if let Some(most) = max_fds(&read("self/limits")) {
            gauge(encoder, "process_max_fds", "File descriptors that may be open.", most)?;
        }
        Ok(())
    }
}

/// A field of `/proc/self/stat` by its number in proc(5), from 3 on.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    // The second field is the program's name, which may hold spaces and parentheses.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(number - 3)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((stat_field(stat, 14)? + stat_field(stat, 15)?) / TICKS_PER_SECOND)
}

fn start_seconds(stat: &str, system: &str) -> Option<f64> {
    let boot: f64 =
        system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + stat_field(stat, 22)? / TICKS_PER_SECOND)
}

fn status_field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The soft limit; unlimited is none.
fn max_fds(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_parenthesis_moves_no_field() {
        let fields: Vec<_> = (3..=52).map(|number| number.to_string()).collect();
        let stat = format!("7 (we) ir (x) {}\n", fields.join(" "));
        assert_eq!(stat_field(&stat, 3), Some(3.0));
        assert_eq!(cpu_seconds(&stat), Some(0.29));
        assert_eq!(start_seconds(&stat, "cpu 1 2\nbtime 1000\n"), Some(1000.22));
    }

    #[test]
    fn fields_are_found_by_their_names() {
        assert_eq!(status_field("VmHWM:\t 9 kB\nVmRSS:\t  512 kB\n", "VmRSS:"), Some(512));
        assert_eq!(status_field("", "VmRSS:"), None);
        let limits =
            "Max open files            1024                 4096                 files     \n";
        assert_eq!(max_fds(limits), Some(1024));
        assert_eq!(max_fds("Max open files unlimited unlimited files"), None);
    }
}
