"""What SmartSim starts: asks for answers at every step, and gives them away as data sets."""

import sys

import numpy as np
from smartredis import Client
from smartredis import Dataset

client = Client(logger_name="application")
assert client.poll_model("eke", 100, 50)
for step in range(int(sys.argv[1])):
    features = np.full((5, 4), step, np.float32)
    client.put_tensor("step", features)
    client.run_model("eke", inputs=["step"], outputs=["answer"])
    result = Dataset(f"result-{step}")
    result.add_tensor("eke", client.get_tensor("answer"))
    result.add_meta_scalar("step", step)
    client.put_dataset(result)
    client.append_to_list("results", result)
