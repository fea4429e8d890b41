"""An agent of your own, in the comparison:

`quantum-trader benchmark --agents examples/my_agent.py:MyAgent xgboost logistic`
"""

import numpy as np
from sklearn.linear_model import LogisticRegression

from quantum_trader.agents import ModelInputs
from quantum_trader.train import PooledDataset


class MyAgent:
    """Logistic regression on the 14 features of the newest bar."""

    name = "my_agent"

    def fit(self, train: PooledDataset, validation: PooledDataset, seed: int) -> None:
        self.model = LogisticRegression(max_iter=500, random_state=seed)
        self.model.fit(train.windows(np.arange(len(train)))[:, -1], train.action)

    def signals(self, inputs: ModelInputs) -> np.ndarray:
        return np.asarray(self.model.predict_proba(inputs.windows[:, -1]))
