"""The service: a page to edit photos in, and a small HTTP API, on one's own computer (`inpaintkit serve`).

Needs the extra `[serve]`. `app.create_app` builds the application, `server.run` runs it.
"""
