"""A page in which a trained agent plays in the visitor's browser: ``python -m rmc_rl.export format=page``.

`writing` puts the folder together, `runtime` brings onnxruntime-web, `folder` writes it. The rest of this directory is
the page itself, as browsers read it: HTML, CSS and JavaScript modules; docs/page.md says what each is for.
"""
