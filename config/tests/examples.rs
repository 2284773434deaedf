//! Every shipped example is a configuration, and stays the same when it is written back.

#[track_caller]
fn load(name: &str) -> weir_config::Config {
    let path = format!("{}/examples/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let env = |name: &str| (name == "WEIR_ADMIN_TOKEN").then(|| "t0p-s3cret".to_owned());
    let config = weir_config::load(&text, name, &env).unwrap();
    let shown = weir_config::show(&config);
    assert_eq!(weir_config::load(&shown, "shown", &env).unwrap(), config, "{shown}");
    config
}

#[test]
fn all() {
    for name in ["minimal.yaml", "egress.yaml", "partner.yaml", "grpc.yaml", "full.yaml"] {
        println!("{name}: {:#?}", load(name));
        println!("{}", weir_config::show(&load(name)));
    }
}
