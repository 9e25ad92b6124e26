"""The doors for programs: REST and the Gradio client's endpoints."""
