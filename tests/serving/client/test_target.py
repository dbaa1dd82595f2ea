"""Targets as people write them, and the proxy that gRPC takes to one."""

import pytest

from serving.client import target


@pytest.mark.parametrize(
    "good",
    ["localhost:8500", "127.0.0.1:1", "[::1]:65535", "a-b.example:8500", "dns:///a:1", "ipv4:10.0.0.1:5"],
)
def test_what_grpc_understands_stays(good):
    assert target.check_target(good) == good


@pytest.mark.parametrize(
    ("written", "better"),
    [
        ("http://127.0.0.1:8500", "write 127.0.0.1:8500 "),
        ("https://models.example:443", "write models.example:443, with --tls"),
        ("grpc://localhost:8500/", "write localhost:8500 "),
        ("GRPCS://[::1]:8500", "write [::1]:8500, with --tls"),
        ("http://localhost:8501/v1/models/default", "write localhost:8501 (gRPC's port is 8500 by default, 8501"),
        ("http://user:secret@host:1", "write host:1 "),
        ("127.0.0.1:8500/", "write 127.0.0.1:8500 "),
        (" 127.0.0.1:8500", "write 127.0.0.1:8500 "),
        ("localhost", "no port; write localhost:8500"),
        ("http://localhost", "no port; write localhost:8500"),
        ("::1", "no port; write [::1]:8500"),
        ("localhost:http", "http is not a port"),
        ("localhost:0", "0 is not a port"),
        ("localhost:65536", "65536 is not a port"),
        ("localhost:", "is not a port"),
        (":8500", "names no host"),
        ("", "names no host"),
    ],
)
def test_what_is_no_target_is_refused_with_what_to_write(written, better):
    with pytest.raises(ValueError, match="write") as refused:
        target.check_target(written)
    assert better in f"{refused.value} "


@pytest.mark.parametrize(
    ("written", "local"),
    [
        ("localhost:1", True),
        ("LOCALHOST.:1", True),
        ("a.localhost:1", True),
        ("ip6-localhost:1", True),
        ("127.0.0.1:1", True),
        ("127.9.8.7:1", True),
        ("127.1:1", True),
        ("0.0.0.0:1", True),
        ("[::1]:1", True),
        ("[0:0:0:0:0:0:0:1]:1", True),
        ("[::ffff:127.0.0.1]:1", True),
        ("[::1%lo]:1", True),
        ("[::]:1", True),
        ("dns:///localhost:1", True),
        ("dns://1.1.1.1/localhost:1", True),
        ("ipv4:127.0.0.1:1", True),
        ("ipv6:[::1]:1", True),
        ("ipv4:127.0.0.1:1,10.0.0.1:1", False),
        ("128.0.0.1:1", False),
        ("10.127.0.0:1", False),
        ("localhost.example:1", False),
        ("notlocalhost:1", False),
        ("127.0.0.1.example:1", False),
        ("[2001:db8::1]:1", False),
        ("[::ffff:10.0.0.1]:1", False),
    ],
)
def test_this_machine_in_every_spelling(written, local):
    assert target.is_loopback(written) == local
    assert target.find_proxy(written, {"http_proxy": "http://p:1"}) == (None if local else ("http_proxy", "p:1"))


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        ({"all_proxy": "http://p:1", "HTTP_PROXY": "http://p:1"}, None),  # gRPC reads neither
        ({"https_proxy": "http://s:1", "http_proxy": "http://p:1"}, ("https_proxy", "s:1")),
        ({"grpc_proxy": "http://user:secret@g:1/", "https_proxy": "http://s:1"}, ("grpc_proxy", "g:1")),
        ({"grpc_proxy": "", "http_proxy": "http://p:1"}, None),
        ({"http_proxy": "socks5://p:1"}, None),
        ({"http_proxy": "http://p:1", "no_proxy": "other, Models.example"}, None),
        ({"http_proxy": "http://p:1", "no_proxy": ".example"}, None),
        ({"http_proxy": "http://p:1", "no_proxy": "*"}, None),
        ({"http_proxy": "http://p:1", "no_proxy": "models.example", "no_grpc_proxy": "x"}, ("http_proxy", "p:1")),
    ],
)
def test_the_proxy_is_the_one_that_grpc_takes(environment, found):
    assert target.find_proxy("models.example:8500", environment) == found


def test_a_network_may_be_excluded():
    environment = {"http_proxy": "http://p:1", "no_proxy": "10.1.0.0/16"}
    assert target.find_proxy("10.1.2.3:1", environment) is None
    assert target.find_proxy("10.2.2.3:1", environment) == ("http_proxy", "p:1")
