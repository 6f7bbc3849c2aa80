"""Pages for people: the model's own at ``/`` and its API at ``/docs``. No request leaves them but to this server."""
