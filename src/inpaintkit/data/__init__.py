"""Photos of folders, file lists and tar shards (`photos`), and seeded training batches of them (`samples`)."""
