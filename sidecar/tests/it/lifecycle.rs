//! How the process starts, what its exit codes say, and how it ends without losing a request.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::{UnixDatagram, UnixStream},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    faults::{
        RUNTIME, Speaks,
        backend::{Backend, Step, answer},
        client::{Ask, h1, h2},
    },
    weir::{PATIENCE, Weir, command, config_file, until, wait_for_exit},
};

fn script(path: &str) -> Vec<Step> {
    match path {
        "/stuck" => vec![Step::Read, Step::Silence],
        "/slow" => [vec![Step::Wait(Duration::from_secs(1))], answer(200, 2)].concat(),
        _ => answer(200, 2),
    }
}

/// A listener before a service; `listener` and `process` are more settings of each.
fn yaml(backend: &Backend, listener: &str, process: &str) -> String {
    format!(
        "{process}\nlisteners: [{{ address: 127.0.0.1:0, {listener} routes: [{{ upstream: app, timeout: {{ total: 100s, first_byte: 100s }} }}] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"], keepalive: 100s }} }}\n",
        backend.address
    )
}

fn start(listener: &str, process: &str) -> (Weir, Backend) {
    let backend = Backend::start(Speaks::H1, script);
    (Weir::start(&yaml(&backend, listener, process)), backend)
}

fn get(address: SocketAddr, path: &str) -> u16 {
    RUNTIME.block_on(Ask::get(path).of(address, Speaks::H1)).status
}

#[test]
fn exit_codes_tell_usage_configuration_and_failure_apart() {
    let good = "version: 1\nlisteners: [{ address: 127.0.0.1:0, upstream: app }]\nupstreams: { app: { endpoints: [\"127.0.0.1:1\"] } }\n";
    let (_good_folder, good) = config_file(good);
    let (_bad_folder, bad) = config_file("version: 1\nlisteners: []\nbraker: {}\n");
    let code = |arguments: &[&str]| {
        let ended = command().args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
        ended.unwrap().code()
    };
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());
    assert_eq!(code(&["check", good]), Some(0));
    assert_eq!(code(&["check", bad]), Some(78));
    assert_eq!(code(&["run", "-c", bad]), Some(78));
    assert_eq!(code(&["run", "-c", "/nowhere/weir.yaml"]), Some(78));
    assert_eq!(code(&["run"]), Some(2));
    assert_eq!(code(&["dance"]), Some(2));
}

#[test]
fn draining_sends_h2_clients_elsewhere_without_losing_a_request() {
    let (weir, _backend) = start("", "");
    let address = weir.address();
    RUNTIME.block_on(async {
        let mut idle = h2::Client::connect(address).await.unwrap();
        assert_eq!(idle.ask(&Ask::get("/")).await.unwrap().status, 200);
        let mut busy = h2::Client::connect(address).await.unwrap();
        let mut slow = busy.clone();
        let slow = tokio::spawn(async move { slow.ask(&Ask::get("/slow")).await.unwrap() });
        until("the slow one is there", || weir.metric("weir_requests_in_flight", &[]) == 1.0);
        weir.drain();
        // An idle connection ends, one at work ends when it is done, and a new one is served once.
        idle.closed().await;
        assert_eq!(slow.await.unwrap().status, 200);
        busy.closed().await;
        assert!(busy.ask(&Ask::get("/")).await.is_err());
        let mut new = h2::Client::connect(address).await.unwrap();
        assert_eq!(new.ask(&Ask::get("/")).await.unwrap().status, 200);
        new.closed().await;
    });
}

#[test]
fn a_port_in_use_is_said_and_ends_the_process() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let free = "127.0.0.1:0";
    for (listener, admin) in [(address.as_str(), free), (free, address.as_str())] {
        let (_folder, file) = config_file(&format!(
            "version: 1\nadmin: {{ address: \"{admin}\" }}\nlisteners: [{{ address: \"{listener}\", upstream: app }}]\n\
             upstreams: {{ app: {{ endpoints: [\"127.0.0.1:1\"] }} }}\n"
        ));
        let at = Instant::now();
        let mut child =
            command().arg("run").arg("-c").arg(file).stderr(Stdio::piped()).spawn().unwrap();
        let ended = wait_for_exit(&mut child);
        println!("ended after {:?}", at.elapsed());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(ended.code(), Some(1), "{said}");
        assert!(said.contains(&address), "{said}");
    }
}

/// Short of descriptors, some worker may have none for its runtime. One that is missing takes no
/// connections and nobody would know, so it ends the process.
#[test]
fn it_starts_with_every_worker_or_not_at_all() {
    let yaml = "threads: 2\nlisteners: [{ address: 127.0.0.1:0, upstream: app }]\n\
                upstreams: { app: { endpoints: [\"127.0.0.1:1\"] } }\n";
    let (mut started, mut failed) = (0, 0);
    // From too few for any worker to enough for all; where that is depends on what is inherited.
    for descriptors in 16..36 {
        let mut limited = Command::new("prlimit");
        limited.arg(format!("--nofile={descriptors}")).arg(command().get_program());
        match Weir::start_by(limited, yaml) {
            Ok(weir) => {
                started += 1;
                // A thread takes its name after it has started.
                until("both workers run", || workers(weir.pid()) == 2);
            }
            Err((status, log)) => {
                failed += 1;
                assert_eq!(status.code(), Some(1), "{descriptors}: {log:?}");
                // Without descriptors a worker cannot read the system's authorities: Pingora panics.
                let why = ["Too many open files", "panicked as it started"];
                let said = log.last().is_some_and(|line| why.iter().any(|why| line.contains(why)));
                assert!(said, "{descriptors}: {log:?}");
            }
        }
    }
    assert!(started > 0 && failed > 0, "{started} started, {failed} did not");
}

/// How many threads of a process are workers.
fn workers(pid: u32) -> usize {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let names = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("comm")));
    names.filter(|name| name.as_ref().is_ok_and(|name| name.starts_with("weir-worker"))).count()
}

#[test]
fn sigterm_fails_readiness_first_and_lets_what_is_in_flight_finish() {
    let (weir, backend) = start("", "shutdown: { drain_delay: 5s, deadline: 100s }");
    let address = weir.address();
    let slow = RUNTIME.spawn(async move { Ask::get("/slow").of(address, Speaks::H1).await });
    until("a request is in flight", || backend.in_flight() == 1);
    weir.signal("TERM");
    until("readiness fails", || weir.admin_get("/ready").0 == 503);
    let answer = RUNTIME.block_on(Ask::get("/").of(address, Speaks::H1));
    assert_eq!(answer.status, 200, "new connections are still taken");
    assert!(!answer.keeps, "and told to go elsewhere");
    let slow = RUNTIME.block_on(slow).unwrap();
    assert_eq!((slow.status, slow.whole), (200, true));
    // Patience is shorter than the deadline.
    assert_eq!(weir.wait().code(), Some(0));
}

#[test]
fn what_is_idle_ends_at_once_and_what_is_stuck_at_the_deadline() {
    let (weir, _backend) = start("", "shutdown: { drain_delay: 0s, deadline: 100s }");
    let mut idle = RUNTIME.block_on(h1::Client::connect(weir.address())).unwrap();
    assert_eq!(RUNTIME.block_on(idle.ask(&Ask::get("/"))).unwrap().status, 200);
    weir.signal("TERM");
    assert_eq!(weir.wait().code(), Some(0));

    let (weir, backend) = start("", "shutdown: { drain_delay: 0s, deadline: 1s }");
    let address = weir.address();
    let stuck = RUNTIME.spawn(async move { Ask::get("/stuck").of(address, Speaks::H1).await });
    until("a request is stuck", || backend.in_flight() == 1);
    weir.signal("TERM");
    weir.wait_for_log("cut=1");
    assert_eq!(weir.wait().code(), Some(0));
    assert!(!RUNTIME.block_on(stuck).unwrap().whole);
}

/// None of them has asked for anything that the end could cost it.
#[test]
fn clients_that_say_nothing_hold_up_no_end() {
    let listener = "timeout: { request_header: 1h, keepalive: 1h },";
    let (weir, _backend) = start(listener, "shutdown: { drain_delay: 0s, deadline: 100s }");
    let connect = || TcpStream::connect(weir.address()).unwrap();
    let _silent = connect();
    // A client of h2 that answers no PING.
    let mut deaf = connect();
    deaf.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    deaf.read_exact(&mut [0; 9]).unwrap();
    until("both are there", || weir.metric("weir_connections_open", &[]) == 2.0);
    weir.signal("TERM");
    assert_eq!(weir.wait().code(), Some(0));
}

#[test]
fn a_hangup_costs_nothing() {
    let (weir, _backend) = start("", "");
    for _ in 0..2 {
        weir.signal("HUP");
        weir.wait_for_log("the configuration has not changed trigger=Signal");
        assert_eq!(get(weir.address(), "/"), 200);
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let (weir, backend) = start("", "shutdown: { drain_delay: 50s, deadline: 100s }");
    let address = weir.address();
    let stuck = RUNTIME.spawn(async move { Ask::get("/stuck").of(address, Speaks::H1).await });
    until("a request is stuck", || backend.in_flight() == 1);
    weir.signal("TERM");
    weir.wait_for_log("ending");
    weir.signal("TERM");
    assert_eq!(weir.wait().code(), Some(1), "it did not end in order");
    assert!(!RUNTIME.block_on(stuck).unwrap().whole);
}

#[test]
fn a_keep_alive_load_loses_nothing_when_it_leaves_after_readiness_failed() {
    let (weir, _backend) = start("", "shutdown: { drain_delay: 5s, deadline: 100s }");
    let address = weir.address();
    let leave = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for _ in 0..8 {
        load.spawn_on(keep_asking(address, Arc::clone(&leave)), RUNTIME.handle());
    }
    until("the load runs", || weir.metric("weir_requests_received_total", &[]) > 100.0);
    weir.signal("TERM");
    until("readiness fails", || weir.admin_get("/ready").0 == 503);
    leave.store(true, Relaxed);
    let told_to_close = RUNTIME.block_on(load.join_all()).into_iter().filter(|told| *told).count();
    assert_eq!(told_to_close, 8);
    assert_eq!(weir.wait().code(), Some(0));
}

/// Asks over and over, each answer whole; after `leave` until it is told to close.
async fn keep_asking(address: SocketAddr, leave: Arc<AtomicBool>) -> bool {
    loop {
        let mut client = h1::Client::connect(address).await.unwrap();
        loop {
            let answer = client.ask(&Ask::get("/")).await.unwrap();
            assert_eq!((answer.status, answer.whole), (200, true), "{answer:?}");
            if !answer.keeps {
                if leave.load(Relaxed) {
                    return true;
                }
                break;
            }
        }
    }
}

#[test]
fn a_socket_file_that_a_killed_process_left_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weir.sock");
    let backend = Backend::start(Speaks::H1, script);
    let yaml = yaml(&backend, "", "")
        .replace("address: 127.0.0.1:0, ", &format!("address: \"unix:{}\", ", path.display()));
    for _ in 0..2 {
        let weir = Weir::start(&yaml);
        let mut socket = UnixStream::connect(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        let mut said = String::new();
        socket.read_to_string(&mut said).unwrap();
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        weir.signal("KILL");
        weir.wait();
        assert!(path.exists(), "a killed process cleans nothing up");
    }
}

#[test]
fn the_service_manager_is_told_of_the_start_and_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut said = [0; 1024];
        let length = manager.recv(&mut said).expect("a notification");
        String::from_utf8_lossy(&said[..length]).into_owned()
    };
    let backend = Backend::start(Speaks::H1, script);
    let yaml = yaml(
        &backend,
        "",
        "version: 1\nadmin: { address: 127.0.0.1:0 }\n\
                    shutdown: { drain_delay: 0s, deadline: 100s }",
    );
    let (_config_folder, file) = config_file(&yaml);
    let mut child =
        command().env("NOTIFY_SOCKET", &path).arg("run").arg("-c").arg(file).spawn().unwrap();
    assert!(told().contains("READY=1"));
    let sent = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().unwrap();
    assert!(sent.success());
    assert!(told().contains("STOPPING=1"));
    assert_eq!(wait_for_exit(&mut child).code(), Some(0));
}

#[test]
fn connections_above_the_limit_are_closed_and_places_come_back() {
    let (weir, _backend) = start("limits: { connections: 4 },", "");
    RUNTIME.block_on(async {
        let mut open = Vec::new();
        for _ in 0..4 {
            let mut client = h1::Client::connect(weir.address()).await.unwrap();
            assert_eq!(client.ask(&Ask::get("/")).await.unwrap().status, 200);
            open.push(client);
        }
        for _ in 0..4 {
            let mut excess = h1::Client::connect(weir.address()).await.unwrap();
            assert!(excess.is_closed().await);
        }
        for client in &mut open {
            assert_eq!(client.ask(&Ask::get("/")).await.unwrap().status, 200);
        }
    });
    until("the places are free again", || get(weir.address(), "/") == 200);
}

#[test]
fn without_descriptors_left_it_waits_without_spinning_and_recovers() {
    let (weir, _backend) = start("", "threads: 1");
    let mut known = RUNTIME.block_on(h1::Client::connect(weir.address())).unwrap();
    assert_eq!(RUNTIME.block_on(known.ask(&Ask::get("/"))).unwrap().status, 200);
    let pid = weir.pid().to_string();
    let limited = Command::new("prlimit").args(["--pid", &pid, "--nofile=64"]).status().unwrap();
    assert!(limited.success());
    let flood: Vec<_> =
        (0..100).map(|_| RUNTIME.block_on(h1::Client::connect(weir.address())).unwrap()).collect();
    weir.wait_for_log("cannot accept");
    let busy = RUNTIME.block_on(async {
        let before = processor_seconds(weir.pid());
        sleep(Duration::from_secs(2)).await;
        processor_seconds(weir.pid()) - before
    });
    println!("{busy} s of processor time in two seconds without descriptors");
    assert!(busy < 1.0, "{busy} s of processor time in two seconds");
    let answer = RUNTIME.block_on(known.ask(&Ask::get("/"))).unwrap();
    assert_eq!(answer.status, 200, "who is there is still served: {answer:?}");
    drop(flood);
    until("it serves again", || get(weir.address(), "/") == 200);
}

/// What a process has used so far; `times` in proc(5) are hundredths of a second.
fn processor_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit_once(')').expect("a name in brackets").1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |place: usize| fields[place].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}
