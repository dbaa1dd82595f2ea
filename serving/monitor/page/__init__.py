"""The page that shows how models do in production: `watcher` reads, `snapshot` sums up, `server` answers."""
