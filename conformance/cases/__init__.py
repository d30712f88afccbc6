"""The cases: what a service proxy does with packets, rule by rule of the service contract."""
