"""What is done with monitoring outside of the server: adding up counts, and files for Prometheus and Grafana.

`commands` is ``modelimg monitor``; `merge` adds up documents of ``/monitor.json``, which `sources` reads; `export`
writes alert rules (`rules`), their tests (`ruletests`) and a dashboard (`dashboard`), all of them queries of `promql`.
"""
