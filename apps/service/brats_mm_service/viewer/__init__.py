"""What viewers name, send and leave: cases on the server, uploaded images, sessions, label maps."""
