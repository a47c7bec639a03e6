//! Any bytes as a request head, as each end sees it and whole or not: no panic, and what comes out
//! keeps the limits and the privacy that the module promises.
#![no_main]

use hark::context::Format;
use hark::exchange::Role;
use hark::http1::{
    BodyLength, Extent, Head, HeadParser, METHOD_LIMIT, PATH_LIMIT, USER_AGENT_LIMIT,
};

libfuzzer_sys::fuzz_target!(|head: &[u8]| {
    let mut parser = HeadParser::new(&Format::ALL);
    for role in [Role::Server, Role::Client] {
        for extent in [Extent::Whole, Extent::Truncated, Extent::Cut] {
            let parsed = parser.parse(role, head, extent);
            // Strings that were seen before are shared; that must change nothing.
            assert_eq!(parsed, parser.parse(role, head, extent));
            assert_eq!(
                parsed,
                HeadParser::new(&Format::ALL).parse(role, head, extent)
            );
            if let Ok(parsed) = parsed {
                check(&parsed, role, extent);
            }
        }
    }
});

fn check(Head { request, body }: &Head, role: Role, extent: Extent) {
    assert!(request.path.len() <= PATH_LIMIT);
    assert!(!request.path.contains(['?', '#']), "{}", request.path);
    assert!(!request.path.contains(|c: char| c == ' ' || c.is_control()));
    if let hark::exchange::Method::Other(token) = &request.method {
        assert!(!token.is_empty() && token.len() <= METHOD_LIMIT);
    }
    if let Some(agent) = &request.user_agent {
        assert!(agent.len() <= USER_AGENT_LIMIT);
    }
    if let Some(host) = &request.host {
        assert!(
            !host.is_empty() && !host.contains(['@', '/', '?', '#']),
            "{host}"
        );
    }
    if role == Role::Client {
        assert_eq!(request.client_address, None);
    }
    match extent {
        Extent::Whole => {}
        Extent::Truncated => assert_eq!(*body, BodyLength::Unknown),
        Extent::Cut => {
            assert_eq!(*body, BodyLength::Unknown);
            assert_eq!(request.user_agent, None);
            assert_eq!(request.context, None);
            assert_eq!(request.content_length, None);
        }
    }
}
