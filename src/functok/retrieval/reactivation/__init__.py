"""Do features come back at function tokens?"""
