"""What the page's responses say beside their content: which rights the page has, and how long a browser keeps it."""

from collections.abc import Mapping

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
)
"""Scripts, models and requests of this site only; images also from files that the user has chosen. It stands in the
page too, for hosts that send no headers."""

SECURITY_HEADERS: Mapping[str, str] = {
    # A header alone can forbid frames.
    "Content-Security-Policy": f"{CONTENT_SECURITY_POLICY}; frame-ancestors 'none'",
    # These two isolate the page from others, for which browsers give it memory that threads share.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

KEEP = "public, max-age=31536000, immutable"
"""For files whose path changes with their content."""
ASK_AGAIN = "no-cache"
"""A browser keeps the file, and asks each time whether it has changed."""
