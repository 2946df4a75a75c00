"""Beyond one machine: folders translated on a Ray cluster, files that lie elsewhere (docs/scale.md)."""
